//! Far more questions at a time than there may be.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::{Client, filter_body};
use crate::cluster::{node_names, pod};
use crate::course::World;
use crate::process::Testudo;

const AT_A_TIME: usize = 150;
const TIME: Duration = Duration::from_secs(5);
/// What testudo says to whoever is one too many.
const TOO_MANY: &str = "requests wait for an answer, no more may; ask again";

/// How the questions were answered.
#[derive(Debug, Default)]
pub struct Answers {
    pub given: usize,
    pub refused: usize,
    /// What is neither an answer nor the refusal that says so.
    pub wrong: Vec<String>,
}

impl Answers {
    fn note(&mut self, answer: Result<(u16, Vec<u8>)>) {
        match answer.map(|(status, text)| (status, String::from_utf8_lossy(&text).into_owned())) {
            Ok((200, _)) => self.given += 1,
            Ok((503, text)) if text.contains(TOO_MANY) => self.refused += 1,
            Ok((status, text)) => self.wrong.push(format!("{status}: {text}")),
            Err(error) => self.wrong.push(format!("{error:#}")),
        }
    }

    fn add(&mut self, other: Self) {
        self.given += other.given;
        self.refused += other.refused;
        self.wrong.extend(other.wrong);
    }
}

/// Everybody asks again as soon as he has been answered.
pub fn overload(world: &World<'_>, testudo: &Testudo) -> Answers {
    let body = filter_body(&pod(world.next_pod(), None), &node_names(world.size.nodes));
    let end = Instant::now() + TIME;
    let ask = || {
        let (mut client, mut answers) = (Client::of(testudo.address), Answers::default());
        while Instant::now() < end {
            answers.note(client.post("filter", &body));
        }
        answers
    };
    let answers = thread::scope(|scope| {
        let all: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(ask)).collect();
        all.into_iter().fold(Answers::default(), |mut sum, one| {
            sum.add(one.join().expect("no panic"));
            sum
        })
    });
    let Answers { given, refused, wrong } = &answers;
    println!("\noverload: {AT_A_TIME} at a time for {TIME:?}: {given} answered, {refused} told that it is too many");
    wrong.first().into_iter().for_each(|first| println!("{} other answers: {first}", wrong.len()));
    answers
}
