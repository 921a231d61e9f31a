use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::super::view::testing::{Fleet, gpus};
use super::*;

fn publisher(nodes: usize) -> (Arc<Host>, Arc<Publisher>, Fleet) {
    let fleet = Fleet::of(nodes);
    let host = Arc::clone(&fleet.host);
    let publisher = Arc::new(Publisher::new(Arc::clone(&host), "test", None));
    (host, publisher, fleet)
}

fn whole(publisher: &Publisher) -> Value {
    let mut text = String::new();
    GzDecoder::new(&publisher.everything().gzip[..]).read_to_string(&mut text).expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

fn data(event: &Event) -> Value {
    let text = std::str::from_utf8(&event.plain).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn who_begins_to_look_gets_everything_and_then_what_changes() {
    let (_, publisher, fleet) = publisher(2);
    let everything = whole(&publisher);
    assert_eq!(everything["faces"].as_array().map(Vec::len), Some(2));
    assert_eq!(everything["totals"]["totalMilli"], 16_000);
    let mut listener = publisher.listen(everything["id"].as_str().expect("an id")).expect("room for one");
    assert!(listener.missed.as_ref().expect("remembered").is_empty());
    fleet.run(gpus("p", 8), "node-1");
    publisher.publish();
    let change = data(&listener.events.try_recv().expect("an event"));
    assert_eq!(change["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(change["totals"]["usedMilli"], 8_000);
    assert_eq!(change["workloads"][0]["namespace"], "team");
    assert_eq!(change["layout"], everything["layout"]);
}

#[test]
fn who_was_cut_off_gets_what_it_missed() {
    let (_, publisher, fleet) = publisher(1);
    let id = whole(&publisher)["id"].as_str().expect("an id").to_owned();
    for at in 0..3 {
        fleet.run(gpus(&format!("p-{at}"), 1), "node-0");
        publisher.publish();
    }
    let listener = publisher.listen(&id).expect("room for one");
    let missed = listener.missed.clone().expect("remembered");
    assert_eq!(missed.len(), 3);
    assert_eq!(data(&missed[2])["totals"]["usedMilli"], 3_000);
    for foreign in ["", "x", "0-1", "1-1", &format!("{id}0")] {
        assert!(publisher.listen(foreign).expect("room").missed.is_none(), "{foreign:?} is not of this process");
    }
}

#[test]
fn what_is_forgotten_has_to_be_asked_for_anew() {
    let (_, publisher, fleet) = publisher(1);
    let id = whole(&publisher)["id"].as_str().expect("an id").to_owned();
    for at in 0..=MAX_EVENTS {
        match at % 2 {
            0 => fleet.run(gpus("p", 1), "node-0"),
            _ => fleet.end("p"),
        }
        publisher.publish();
    }
    assert!(publisher.listen(&id).expect("room").missed.is_none());
    assert_eq!(publisher.state.lock().recent.len(), MAX_EVENTS);
}

#[test]
fn listeners_are_limited() {
    let (_, publisher, _) = publisher(1);
    let listeners: Vec<_> = (0..MAX_LISTENERS).map(|_| publisher.listen("").expect("room")).collect();
    assert!(publisher.listen("").is_none());
    drop(listeners);
    assert!(publisher.listen("").is_some(), "who leaves makes room");
}
