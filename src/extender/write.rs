//! Writes the long answers, those of filter and prioritize, which name every node of the offer.
//!
//! They go straight into the buffer that is sent: a name that was borrowed from the request is JSON as it stands there, and
//! a reason is put into JSON once, however many nodes it holds for. `serde` would look at every byte of both again.

use std::borrow::Cow;

use super::{Offer, Verdicts};

/// What there is in an answer beside names and reasons, generously.
const FRAME_BYTES: usize = 160;
/// Quotes, colon and comma around a name and a reason.
const AROUND_BYTES: usize = 6;

/// `ExtenderFilterResult` in the form of the offer. There must be as many verdicts as nodes were offered.
pub(super) fn filter_result(offer: &Offer<'_>, verdicts: &Verdicts) -> Vec<u8> {
    let reasons: Vec<Reason> = verdicts.refusals().iter().map(Reason::of).collect();
    let mut body = Vec::with_capacity(filter_bytes(offer, verdicts, &reasons));
    let fitting = || verdicts.indices().enumerate().filter(|(_, refusal)| refusal.is_none()).map(|(at, _)| at);
    match offer {
        Offer::Names(names) => {
            body.extend_from_slice(br#"{"Nodes":null,"NodeNames":["#);
            list(&mut body, fitting(), |body, at| name_of(body, &names[at]));
            body.push(b']');
        }
        Offer::Nodes(nodes) => {
            body.extend_from_slice(br#"{"Nodes":{"metadata":{},"items":["#);
            list(&mut body, fitting(), |body, at| body.extend_from_slice(nodes[at].raw.get().as_bytes()));
            body.extend_from_slice(br#"]},"NodeNames":null"#);
        }
    }
    for (key, helps) in [("FailedNodes", true), ("FailedAndUnresolvableNodes", false)] {
        body.extend_from_slice(b",\"");
        body.extend_from_slice(key.as_bytes());
        body.extend_from_slice(b"\":{");
        let refused = verdicts.indices().enumerate().filter_map(|(at, refusal)| Some((at, refusal?)));
        let of_kind = refused.filter(|(_, refusal)| reasons[*refusal].preemption_can_help == helps);
        list(&mut body, of_kind, |body, (at, refusal)| {
            offered_name(body, offer, at);
            body.push(b':');
            body.extend_from_slice(&reasons[refusal].json);
        });
        body.push(b'}');
    }
    body.extend_from_slice(br#","Error":""}"#);
    body
}

/// `HostPriorityList`. There must be as many scores as nodes were offered.
pub(super) fn priorities(offer: &Offer<'_>, scores: &[u8]) -> Vec<u8> {
    const AROUND_SCORE: usize = r#"{"Host":"","Score":10},"#.len();
    let names: usize = offer.names().map(str::len).sum();
    let mut body = Vec::with_capacity(names + scores.len() * AROUND_SCORE + FRAME_BYTES);
    body.push(b'[');
    list(&mut body, scores.iter().enumerate(), |body, (at, score)| {
        body.extend_from_slice(br#"{"Host":"#);
        offered_name(body, offer, at);
        body.extend_from_slice(br#","Score":"#);
        if *score >= 10 {
            body.push(b'0' + score / 10);
        }
        body.push(b'0' + score % 10);
        body.push(b'}');
    });
    body.push(b']');
    body
}

/// A reason as it stands in the answer.
struct Reason {
    json: Vec<u8>,
    preemption_can_help: bool,
}

impl Reason {
    fn of(refusal: &super::NodeRefusal) -> Self {
        let mut json = vec![];
        escaped(&mut json, &refusal.text);
        Self { json, preemption_can_help: refusal.preemption_can_help }
    }
}

fn filter_bytes(offer: &Offer<'_>, verdicts: &Verdicts, reasons: &[Reason]) -> usize {
    let named: usize = match offer {
        Offer::Names(names) => names.iter().map(|name| name.len() + AROUND_BYTES).sum(),
        Offer::Nodes(nodes) => nodes.iter().map(|node| node.raw.get().len() + AROUND_BYTES).sum(),
    };
    let refused: usize = verdicts.indices().flatten().map(|refusal| reasons[refusal].json.len()).sum();
    FRAME_BYTES + named + refused
}

fn list<T>(body: &mut Vec<u8>, items: impl Iterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    for (count, item) in items.enumerate() {
        if count > 0 {
            body.push(b',');
        }
        write(body, item);
    }
}

fn offered_name(body: &mut Vec<u8>, offer: &Offer<'_>, at: usize) {
    match offer {
        Offer::Names(names) => name_of(body, &names[at]),
        Offer::Nodes(nodes) => escaped(body, &nodes[at].node.metadata.name),
    }
}

#[expect(clippy::ptr_arg, reason = "text is borrowed from JSON only where nothing in it is escaped")]
fn name_of(body: &mut Vec<u8>, name: &Cow<'_, str>) {
    match name {
        Cow::Borrowed(plain) => {
            body.push(b'"');
            body.extend_from_slice(plain.as_bytes());
            body.push(b'"');
        }
        Cow::Owned(text) => escaped(body, text),
    }
}

fn escaped(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a text can always be written into memory");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::extender::NodeVerdict;

    fn read(body: &[u8]) -> Value {
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(body)))
    }

    #[test]
    fn names_and_reasons_of_any_kind_are_json() {
        let odd = "a \"quoted\"\n\\ node \u{1}";
        let offer = Offer::Names(vec![
            Cow::Borrowed("fits"),
            Cow::Owned(odd.to_owned()),
            Cow::Borrowed("full"),
            Cow::Borrowed("never"),
        ]);
        let (full, never): (Arc<str>, Arc<str>) = ("no \"GPU\" free".into(), odd.into());
        let verdicts =
            [NodeVerdict::Fits, NodeVerdict::Fits, NodeVerdict::Fails(full), NodeVerdict::Unresolvable(never)];
        let body = filter_result(&offer, &verdicts.into_iter().collect());
        let expected = json!({
            "Nodes": null, "NodeNames": ["fits", odd], "FailedNodes": {"full": "no \"GPU\" free"},
            "FailedAndUnresolvableNodes": {"never": odd}, "Error": "",
        });
        assert_eq!(read(&body), expected);
        assert!(body.capacity() >= body.len() && body.capacity() <= body.len() + FRAME_BYTES, "nothing is moved");

        let scores = [10, 0, 9, 7];
        let expected: Vec<Value> =
            offer.names().zip(scores).map(|(host, score)| json!({"Host": host, "Score": score})).collect();
        assert_eq!(read(&priorities(&offer, &scores)), json!(expected));
    }

    #[test]
    fn nothing_offered_is_answered_with_nothing() {
        let offer = Offer::Names(vec![]);
        let body = filter_result(&offer, &Verdicts::default());
        let expected = json!({
            "Nodes": null, "NodeNames": [], "FailedNodes": {}, "FailedAndUnresolvableNodes": {}, "Error": "",
        });
        assert_eq!(read(&body), expected);
        assert_eq!(priorities(&offer, &[]), b"[]");
    }
}
