//! Our evaluation of selectors beside upstream's: a corpus written by hand, and expressions from a grammar.

use std::collections::BTreeMap;
use std::thread;

use serde::Deserialize;
use serde_json::{Value, json};
use testudo_core::claims::cel::Program;
use testudo_core::claims::{Amount, Attribute, Capacity, Device};

use crate::generate;
use crate::oracle;

#[derive(Deserialize)]
struct Corpus {
    driver: String,
    device: Value,
    cases: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    expression: String,
    expect: String,
}

fn corpus() -> Corpus {
    serde_saphyr::from_str(include_str!("cel-corpus.yaml")).expect("the corpus is YAML")
}

/// What upstream says of each expression.
fn theirs(corpus: &Corpus, expressions: &[String]) -> Vec<oracle::Answer> {
    let ask = |expression: &String| json!({"expression": expression, "driver": corpus.driver, "device": corpus.device});
    oracle::evaluate(expressions.iter().map(ask).collect())
}

/// What ours says, and why.
fn ours(corpus: &Corpus, expressions: &[String]) -> Vec<(&'static str, String)> {
    let device = device(&corpus.device);
    let judge = |expression: &String| match Program::compile(expression) {
        Err(error) => ("compile-error", error.to_string()),
        Ok(program) => match program.matches(&corpus.driver, &device) {
            Ok(true) => ("true", String::new()),
            Ok(false) => ("false", String::new()),
            Err(error) => ("runtime-error", error.to_string()),
        },
    };
    // Compiling recurses.
    thread::scope(|scope| {
        let work = thread::Builder::new()
            .stack_size(256 << 20)
            .spawn_scoped(scope, || expressions.iter().map(judge).collect());
        work.expect("a thread").join().expect("expressions were judged")
    })
}

fn device(published: &Value) -> Device {
    let texts = |value: &Value| value.as_array().expect("a list").iter().map(boxed).collect();
    let attribute = |value: &Value| {
        let (kind, value) = value.as_object().and_then(|value| value.iter().next()).expect("an attribute has a value");
        match kind.as_str() {
            "int" => Attribute::Int(value.as_i64().expect("a number")),
            "bool" => Attribute::Bool(value.as_bool().expect("true or false")),
            "string" => Attribute::String(boxed(value)),
            "version" => Attribute::Version(boxed(value)),
            "ints" => Attribute::Ints(value.as_array().expect("a list").iter().filter_map(Value::as_i64).collect()),
            "bools" => Attribute::Bools(value.as_array().expect("a list").iter().filter_map(Value::as_bool).collect()),
            "strings" => Attribute::Strings(texts(value)),
            "versions" => Attribute::Versions(texts(value)),
            other => panic!("{other} is no kind of attribute"),
        }
    };
    let capacity = |value: &Value| {
        let value = Amount::parse(value["value"].as_str().expect("a quantity")).expect("a quantity");
        Capacity { value, policy: None }
    };
    let all = |field: &str| published[field].as_object().expect("a map").clone();
    Device {
        name: boxed(&published["name"]),
        attributes: all("attributes").iter().map(|(name, value)| (name.as_str().into(), attribute(value))).collect(),
        capacity: all("capacity").iter().map(|(name, value)| (name.as_str().into(), capacity(value))).collect(),
        ..Device::default()
    }
}

fn boxed(text: &Value) -> Box<str> {
    text.as_str().expect("a text").into()
}

#[test]
fn the_corpus_is_what_upstream_says() {
    let corpus = corpus();
    let expressions: Vec<String> = corpus.cases.iter().map(|entry| entry.expression.clone()).collect();
    let mut wrong = vec![];
    for ((entry, theirs), (ours, why)) in
        corpus.cases.iter().zip(theirs(&corpus, &expressions)).zip(ours(&corpus, &expressions))
    {
        if theirs.outcome != entry.expect || ours != entry.expect {
            wrong.push(format!(
                "{}: expected {}, theirs {} {}, ours {ours} {why}",
                entry.expression, entry.expect, theirs.outcome, theirs.message
            ));
        }
    }
    assert!(corpus.cases.len() > 250, "{} expressions", corpus.cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn expressions_from_a_grammar_are_judged_alike() {
    const COUNT: u64 = 10_000;
    let corpus = corpus();
    let expressions: Vec<String> = (0..COUNT).map(generate::expression).collect();
    let mut outcomes = BTreeMap::<String, u64>::new();
    let mut wrong = vec![];
    for ((expression, theirs), (ours, why)) in
        expressions.iter().zip(theirs(&corpus, &expressions)).zip(ours(&corpus, &expressions))
    {
        *outcomes.entry(theirs.outcome.clone()).or_default() += 1;
        if theirs.outcome != ours {
            wrong.push(format!("{expression}\n    theirs {} {}, ours {ours} {why}", theirs.outcome, theirs.message));
        }
    }
    println!("{outcomes:?}");
    wrong.sort_by_key(String::len);
    assert!(wrong.is_empty(), "{} are not:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    for outcome in ["true", "false", "compile-error", "runtime-error"] {
        assert!(outcomes.get(outcome).is_some_and(|count| count * 20 > COUNT), "{outcome} is rare: {outcomes:?}");
    }
}
