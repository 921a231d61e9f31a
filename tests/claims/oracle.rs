//! Upstream's allocator, in processes of its own (`e2e/dra-oracle`).

use std::collections::HashMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use serde::Deserialize;
use serde_json::{Value, json};
use testudo_e2e::tools::dra_oracle;

use crate::case::{Case, is_pending, items, text};

/// What upstream says of a case.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// fits, no-fit, error, timeout, panic, ...
    pub outcome: String,
    /// Why, where it says.
    #[serde(default)]
    pub message: String,
    /// The claims that it allocated, in their order.
    #[serde(default)]
    pub claims: Vec<AllocatedClaim>,
}

/// A claim that upstream allocated.
#[derive(Debug, Clone, Deserialize)]
pub struct AllocatedClaim {
    /// Its name.
    pub name: String,
    /// What would become its `status.allocation`.
    pub allocation: Value,
}

/// Asks upstream to allocate, case by case.
pub fn allocate(cases: &[Case]) -> Vec<Answer> {
    ask_all("allocate", cases.iter().map(question).collect())
}

/// The same where not every case has to be answered: some that were changed take upstream long.
pub fn allocate_in_haste(cases: &[Case]) -> Vec<Answer> {
    ask_all("allocate", cases.iter().map(hasty_question).collect())
}

/// A question to the `allocate` mode that may run out of time.
pub fn hasty_question(case: &Case) -> Value {
    let mut question = question(case);
    question["patienceMilliseconds"] = json!(100);
    question
}

/// A question to the `allocate` mode.
fn question(case: &Case) -> Value {
    let case = as_asked(case);
    json!({"objects": case.objects, "node": case.node})
}

/// A case as upstream is asked it.
pub fn as_asked(case: &Case) -> Case {
    Case { objects: unrolled(&case.objects), ..case.clone() }
}

/// For distinctAttribute upstream remembers one device a request, so that of three devices of one request the first and
/// the last may be alike. Three requests for one device each mean the same, and there it remembers all.
fn unrolled(objects: &[Value]) -> Vec<Value> {
    let mut objects = objects.to_vec();
    for claim in objects.iter_mut().filter(|object| object["kind"] == "ResourceClaim" && is_pending(object)) {
        let devices = &mut claim["spec"]["devices"];
        let constraints = items(&devices["constraints"]).iter();
        let distinct: Vec<Value> =
            constraints.filter(|constraint| !constraint["distinctAttribute"].is_null()).cloned().collect();
        let is_told_apart = |name: &str| {
            distinct
                .iter()
                .map(|constraint| items(&constraint["requests"]))
                .any(|names| names.is_empty() || names.iter().any(|other| other == name))
        };
        let mut names = HashMap::<String, Vec<String>>::new();
        let mut requests = vec![];
        for request in items(&devices["requests"]) {
            let count = request["exactly"]["count"].as_u64().unwrap_or(1);
            // More than a claim may have is an error either way.
            if !is_told_apart(text(&request["name"]))
                || !(2..=32).contains(&count)
                || request["exactly"]["allocationMode"] == "All"
            {
                requests.push(request.clone());
                continue;
            }
            let name = text(&request["name"]);
            for index in 0..count {
                let mut one = request.clone();
                one["name"] = json!(format!("{name}-{index}"));
                one["exactly"]["count"] = json!(1);
                names.entry(name.to_owned()).or_default().push(format!("{name}-{index}"));
                requests.push(one);
            }
        }
        devices["requests"] = json!(requests);
        for list in ["constraints", "config"] {
            for entry in devices[list].as_array_mut().into_iter().flatten() {
                if let Some(requests) = entry["requests"].as_array() {
                    let renamed = requests
                        .iter()
                        .map(text)
                        .flat_map(|name| names.get(name).cloned().unwrap_or_else(|| vec![name.to_owned()]));
                    entry["requests"] = renamed.collect();
                }
            }
        }
    }
    objects
}

/// Asks upstream's validation whether the API server would admit the objects.
pub fn admit(cases: &[Vec<Value>]) -> Vec<Answer> {
    ask_all("admit", cases.iter().map(|objects| json!({"objects": objects})).collect())
}

/// Asks for values of selectors: expression, driver and device.
pub fn evaluate(questions: Vec<Value>) -> Vec<Answer> {
    ask_all("cel", questions)
}

/// Each process gets every n-th question.
fn ask_all(mode: &str, questions: Vec<Value>) -> Vec<Answer> {
    const PROCESSES: usize = 2;
    let parts: Vec<Vec<Answer>> = thread::scope(|scope| {
        let questions = &questions;
        let part = |first: usize| {
            scope.spawn(move || {
                let (mut process, input, output) = start(mode);
                thread::scope(|scope| {
                    // Written beside the reading: neither side's pipe holds a whole batch.
                    scope.spawn(move || {
                        let mut input = BufWriter::new(input);
                        for question in questions.iter().skip(first).step_by(PROCESSES) {
                            writeln!(input, "{question}").expect("the oracle reads");
                        }
                    });
                    let lines = BufReader::new(output).lines();
                    let answers = lines.map(|line| read(&line.expect("the oracle writes text"))).collect();
                    process.wait().expect("the oracle ends");
                    answers
                })
            })
        };
        let parts: Vec<_> = (0..PROCESSES).map(part).collect();
        parts.into_iter().map(|part| part.join().expect("a part of the batch was answered")).collect()
    });
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let answers = (0..questions.len()).map(|index| {
        parts[index % PROCESSES].next().unwrap_or_else(|| panic!("the oracle ended before question {index}"))
    });
    answers.collect()
}

fn start(mode: &str) -> (Child, ChildStdin, ChildStdout) {
    let path = dra_oracle().unwrap_or_else(|error| panic!("{error:#}"));
    let mut process = Command::new(&path)
        .arg(mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let input = process.stdin.take().expect("its input is a pipe");
    let output = process.stdout.take().expect("its output is a pipe");
    (process, input, output)
}

fn read(line: &str) -> Answer {
    let answer: Answer = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_ne!(answer.outcome, "bad-input", "{}", answer.message);
    answer
}

/// An oracle that is asked one thing after another.
pub struct Session {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    /// Starts an oracle in a mode.
    pub fn new(mode: &str) -> Self {
        let (process, input, output) = start(mode);
        Self { process, input, output: BufReader::new(output) }
    }

    /// Its answer, which may be that it cannot read the question.
    pub fn ask(&mut self, question: &Value) -> Answer {
        writeln!(self.input, "{question}").expect("the oracle reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the oracle writes text");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Values of selectors, each asked for once.
pub struct Selectors {
    session: Session,
    known: HashMap<String, String>,
}

impl Selectors {
    /// Starts an oracle for selectors.
    pub fn new() -> Self {
        Self { session: Session::new("cel"), known: HashMap::new() }
    }

    /// true, false, compile-error or runtime-error.
    pub fn value(&mut self, expression: &str, driver: &str, device: &Value) -> &str {
        // Only this of a device can be seen in a selector.
        let seen = json!({
            "name": "d",
            "attributes": device["attributes"],
            "capacity": device["capacity"],
            "allowMultipleAllocations": device["allowMultipleAllocations"],
        });
        let question = json!({"expression": expression, "driver": driver, "device": seen});
        let session = &mut self.session;
        self.known.entry(question.to_string()).or_insert_with(|| session.ask(&question).outcome)
    }
}
