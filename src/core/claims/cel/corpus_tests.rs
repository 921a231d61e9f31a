//! Selectors of which it is known what upstream says of them; and what no expression may do.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::signatures;
use super::*;
use crate::claims::amount::Amount;
use crate::claims::slice::Capacity;

#[derive(Deserialize)]
struct Corpus {
    driver: String,
    device: Published,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    expression: String,
    expect: String,
}

#[derive(Deserialize)]
struct Published {
    name: String,
    attributes: BTreeMap<String, PublishedAttribute>,
    capacity: BTreeMap<String, PublishedCapacity>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PublishedAttribute {
    int: Option<i64>,
    bool: Option<bool>,
    string: Option<String>,
    version: Option<String>,
    ints: Option<Vec<i64>>,
    bools: Option<Vec<bool>>,
    strings: Option<Vec<String>>,
    versions: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct PublishedCapacity {
    value: String,
}

impl PublishedAttribute {
    fn attribute(self) -> Attribute {
        let boxed = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
        None.or(self.int.map(Attribute::Int))
            .or(self.bool.map(Attribute::Bool))
            .or(self.string.map(|text| Attribute::String(text.into())))
            .or(self.version.map(|text| Attribute::Version(text.into())))
            .or(self.ints.map(Attribute::Ints))
            .or(self.bools.map(Attribute::Bools))
            .or(self.strings.map(|texts| Attribute::Strings(boxed(texts))))
            .or(self.versions.map(|texts| Attribute::Versions(boxed(texts))))
            .expect("an attribute has a value")
    }
}

impl Published {
    fn device(self) -> Device {
        let capacity = |published: PublishedCapacity| Capacity {
            value: Amount::parse(&published.value).expect("a quantity"),
            policy: None,
        };
        Device {
            name: self.name.into(),
            attributes: self.attributes.into_iter().map(|(name, it)| (name.into(), it.attribute())).collect(),
            capacity: self.capacity.into_iter().map(|(name, it)| (name.into(), capacity(it))).collect(),
            ..Device::default()
        }
    }
}

fn corpus() -> Corpus {
    serde_saphyr::from_str(include_str!("../../../../tests/claims/cel-corpus.yaml")).expect("the corpus is YAML")
}

fn verdict(expression: &str, driver: &str, device: &Device) -> (&'static str, String) {
    match Program::compile(expression) {
        Err(error) => ("compile-error", error.to_string()),
        Ok(program) => match program.matches(driver, device) {
            Ok(true) => ("true", String::new()),
            Ok(false) => ("false", String::new()),
            Err(error) => ("runtime-error", error.to_string()),
        },
    }
}

/// Tests have small stacks; callers of the allocator have large ones.
fn with_large_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 20).spawn(work);
    thread.expect("a thread").join().expect("the work is done");
}

#[test]
fn every_expression_is_judged_as_upstream_judges_it() {
    with_large_stack(|| {
        let Corpus { driver, device, cases } = corpus();
        let device = device.device();
        assert!(cases.len() > 250);
        let mut wrong = vec![];
        for Case { expression, expect } in &cases {
            let (verdict, why) = verdict(expression, &driver, &device);
            if verdict != expect {
                wrong.push(format!("{expression}\n    is {expect}, we say {verdict} {why}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    });
}

/// What upstream understands and this does not is refused.
#[test]
fn what_is_not_understood_is_an_error() {
    with_large_stack(|| {
        for (expression, expect) in [
            ("timestamp(0).getHours('Europe/Berlin') == 1", "runtime-error"),
            ("google.protobuf.Duration{seconds: 1} == duration('1s')", "compile-error"),
            ("double('0x1p-2') == 0.25", "compile-error"),
            ("{timestamp(0): 1}.size() == 1", "runtime-error"),
        ] {
            assert_eq!(verdict(expression, "d", &Device::default()).0, expect, "{expression}");
        }
    });
}

#[test]
fn nothing_nasty_overflows_the_stack_or_takes_for_ever() {
    with_large_stack(|| {
        let nasty = [
            "(".repeat(5_000),
            "(".repeat(5_000) + "true" + &")".repeat(5_000),
            "[".repeat(240) + &"]".repeat(240),
            "{".repeat(9_000),
            "!".repeat(10_001) + "true",
            "-".repeat(10_001) + "1 == 1",
            "device".to_owned() + &".a".repeat(5_000),
            "device".to_owned() + &"[0]".repeat(3_000),
            vec!["1"; 5_000].join("+") + " == 5000",
            vec!["true"; 1_400].join("&&"),
            "true?true:".repeat(1_000) + "true",
            "true?".repeat(1_500) + "true" + &":true".repeat(1_500),
            "device.attributes".to_owned() + &".f()".repeat(2_500),
            "x".repeat(MAX_LENGTH + 1),
            "[1].map(a, ".repeat(200) + "1" + &")".repeat(200),
            "\"".to_owned() + &"\\".repeat(9_000),
        ];
        for expression in nasty {
            let _ = verdict(&expression, "d", &Device::default());
        }
        let long = "lists.range(1000000000).all(x, true)";
        assert_eq!(verdict(long, "d", &Device::default()).0, "runtime-error");
        let doubling = (0..40).fold("size(s) > 0".to_owned(), |inner, _| format!("cel.bind(s, s + s, {inner})"));
        let doubling = format!("cel.bind(s, \"0123456789\", {doubling})");
        assert_eq!(verdict(&doubling, "d", &Device::default()).0, "runtime-error");
        let nested =
            (0..40).fold("'%s'.format([x]) != ''".to_owned(), |inner, _| format!("cel.bind(x, [x, x], {inner})"));
        assert_eq!(verdict(&format!("cel.bind(x, [], {nested})"), "d", &Device::default()).0, "runtime-error");
        let wide = format!("'{}'.format(lists.range(200).map(x, double(x))) != ''", "%.65535e".repeat(200));
        assert_eq!(verdict(&wide, "d", &Device::default()).0, "runtime-error");
        // What comes to nothing costs, too.
        let in_vain = format!("'{}%d'.format(lists.range(50).map(x, 1.0)) != ''", "%.65535e".repeat(50));
        let in_vain = format!("lists.range(100000).exists(x, {in_vain})");
        assert_eq!(verdict(&in_vain, "d", &Device::default()).0, "runtime-error");
    });
}

#[test]
fn every_function_of_the_table_does_something() {
    let operators = ["_?_:_", "@not_strictly_false", "_[_]", "_[?_]"];
    for name in signatures::names().filter(|name| !operators.contains(name)) {
        let nothing = Fault::overload("function", &[]);
        assert_ne!(functions::named(name)(&[]).err(), Some(nothing), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(expression in "[a-z0-9.?:()\\[\\]{}\"'+*/%<>=!&|, -]{0,60}") {
        with_large_stack(move || _ = verdict(&expression, "d", &Device::default()));
    }

    #[test]
    fn no_text_that_is_read_panics(text in "[^a]{0,20}|(http:)?//[a-z@:\\[\\]%25é/?#]{0,20}", zone in "[-+0-9:]{0,20}") {
        let value = Value::string(&text);
        for function in ["timestamp", "url", "isURL", "double", "duration"] {
            _ = functions::named(function)(std::slice::from_ref(&value));
        }
        for format in ["dns1123LabelPrefix", "qualifiedName", "uri", "uuid", "byte", "datetime"] {
            let format = functions::named(&format!("format.{format}"))(&[]).expect("a format");
            _ = functions::named("validate")(&[format, value.clone()]);
        }
        let at = functions::named("timestamp")(&[Value::Int(0)]).expect("a timestamp");
        _ = functions::named("getFullYear")(&[at, Value::string(&zone)]);
        _ = functions::named("format")(&[value.clone(), Value::list(vec![value])]);
    }
}
