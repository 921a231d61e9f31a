//! Named formats, as the library `kubernetes.format` validates them; it takes them from the API server.

use std::sync::{Arc, LazyLock};

use regex::Regex;

use super::code::Function;
use super::functions::none;
use super::timestamp::is_date;
use super::url;
use super::value::Value;

/// A format that texts may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Dns1123Label,
    Dns1123LabelPrefix,
    Dns1123Subdomain,
    Dns1123SubdomainPrefix,
    Dns1035Label,
    Dns1035LabelPrefix,
    QualifiedName,
    LabelValue,
    Uri,
    Uuid,
    Byte,
    Date,
    DateTime,
}

/// The function of a name that is about formats, if it is one.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "format.dns1123Label" => |_| Ok(Value::Format(Format::Dns1123Label)),
        "format.dns1123LabelPrefix" => |_| Ok(Value::Format(Format::Dns1123LabelPrefix)),
        "format.dns1123Subdomain" => |_| Ok(Value::Format(Format::Dns1123Subdomain)),
        "format.dns1123SubdomainPrefix" => |_| Ok(Value::Format(Format::Dns1123SubdomainPrefix)),
        "format.dns1035Label" => |_| Ok(Value::Format(Format::Dns1035Label)),
        "format.dns1035LabelPrefix" => |_| Ok(Value::Format(Format::Dns1035LabelPrefix)),
        "format.qualifiedName" => |_| Ok(Value::Format(Format::QualifiedName)),
        "format.labelValue" => |_| Ok(Value::Format(Format::LabelValue)),
        "format.uri" => |_| Ok(Value::Format(Format::Uri)),
        "format.uuid" => |_| Ok(Value::Format(Format::Uuid)),
        "format.byte" => |_| Ok(Value::Format(Format::Byte)),
        "format.date" => |_| Ok(Value::Format(Format::Date)),
        "format.datetime" => |_| Ok(Value::Format(Format::DateTime)),
        "format.named" => |args| match args {
            // The formats are known by what their functions are called.
            [Value::String(name)] => match named(&format!("format.{name}")).filter(|_| **name != *"named") {
                Some(format) => Ok(Value::Optional(Some(Arc::new(format(&[])?)))),
                None => Ok(Value::Optional(None)),
            },
            args => none("format.named", args),
        },
        "validate" => |args| match args {
            [Value::Format(format), Value::String(text)] => Ok(complaints(format.faults(text))),
            args => none("validate", args),
        },
        _ => return None,
    })
}

/// Nothing, where there is nothing to complain about.
fn complaints(faults: Vec<String>) -> Value {
    let faults: Vec<Value> = faults.iter().map(|fault| Value::string(fault)).collect();
    Value::Optional((!faults.is_empty()).then(|| Arc::new(Value::list(faults))))
}

impl Format {
    /// What is wrong with a text, in upstream's words: expressions may look at them.
    fn faults(self, text: &str) -> Vec<String> {
        let only = |is_right: bool, what: &str| if is_right { vec![] } else { vec![what.to_owned()] };
        match self {
            Format::Dns1123Label => dns1123_label(text),
            Format::Dns1123LabelPrefix => dns1123_label(&without_dash(text)),
            Format::Dns1123Subdomain => SUBDOMAIN.faults(text, "characters"),
            Format::Dns1123SubdomainPrefix => SUBDOMAIN.faults(&without_dash(text), "characters"),
            Format::Dns1035Label => DNS1035_LABEL.faults(text, "characters"),
            Format::Dns1035LabelPrefix => DNS1035_LABEL.faults(&without_dash(text), "characters"),
            Format::QualifiedName => qualified_name(text),
            Format::LabelValue => LABEL_VALUE.faults(text, "bytes"),
            Format::Uri => url::check(text).err().into_iter().collect(),
            Format::Uuid => only(is_uuid(text), "does not match the UUID format"),
            Format::Byte => only(is_base64(text), "invalid base64"),
            Format::Date => only(is_date(text), "invalid date"),
            Format::DateTime => only(is_date_time(text), "invalid datetime"),
        }
    }
}

/// A rule for names: how long they may be, what they consist of, and how upstream says so.
struct Rule {
    longest: usize,
    is_right: fn(&str) -> bool,
    what: &'static str,
    examples: &'static [&'static str],
    pattern: &'static str,
}

const LABEL: Rule = Rule {
    longest: 63,
    is_right: |text| is_made_of(text, is_lower, is_lower_or_dash),
    what: "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
           with an alphanumeric character",
    examples: &["my-name", "123-abc"],
    pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?",
};

const SUBDOMAIN: Rule = Rule {
    longest: 253,
    is_right: |text| text.split('.').all(LABEL.is_right),
    what: "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
           and end with an alphanumeric character",
    examples: &["example.com"],
    pattern: "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*",
};

const DNS1035_LABEL: Rule = Rule {
    longest: 63,
    is_right: |text| !text.starts_with(|c: char| c.is_ascii_digit()) && (LABEL.is_right)(text),
    what: "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, \
           and end with an alphanumeric character",
    examples: &["my-name", "abc-123"],
    pattern: "[a-z]([-a-z0-9]*[a-z0-9])?",
};

const NAME: Rule = Rule {
    longest: 63,
    is_right: |text| is_made_of(text, |byte| byte.is_ascii_alphanumeric(), is_part_of_name),
    what: "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    examples: &["MyName", "my.name", "123-abc"],
    pattern: "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]",
};

const LABEL_VALUE: Rule = Rule {
    longest: 63,
    is_right: |text| text.is_empty() || (NAME.is_right)(text),
    what: "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and \
           end with an alphanumeric character",
    examples: &["MyValue", "my_value", "12345"],
    pattern: "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
};

impl Rule {
    /// What is wrong with a text, of which the length is counted in units of a name.
    fn faults(&self, text: &str, units: &str) -> Vec<String> {
        let mut faults = self.length_faults(text, units);
        if !(self.is_right)(text) {
            faults.push(self.description());
        }
        faults
    }

    fn length_faults(&self, text: &str, units: &str) -> Vec<String> {
        let longest = self.longest;
        if text.len() > longest { vec![format!("must be no more than {longest} {units}")] } else { vec![] }
    }

    fn description(&self) -> String {
        let Rule { what, examples, pattern, .. } = self;
        let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
        format!("{what} (e.g. {}regex used for validation is '{pattern}')", examples.join(" or "))
    }
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_lower_or_dash(byte: u8) -> bool {
    is_lower(byte) || byte == b'-'
}

fn is_part_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

/// Whether a text begins and ends with certain bytes, and has others between.
fn is_made_of(text: &str, at_ends: fn(u8) -> bool, between: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| at_ends(*first) && at_ends(*last)) && bytes.iter().all(|byte| between(*byte))
}

fn dns1123_label(text: &str) -> Vec<String> {
    let mut faults = LABEL.length_faults(text, "characters");
    if !(LABEL.is_right)(text) {
        let is_subdomain = (SUBDOMAIN.is_right)(text);
        faults.push(if is_subdomain { "must not contain dots".into() } else { LABEL.description() });
    }
    faults
}

/// A prefix may end with a dash, which stands for what follows. Upstream takes the character before it for that, too.
fn without_dash(text: &str) -> String {
    // What cannot be cut there has a character that no name has.
    let start = text.len().checked_sub(2).and_then(|end| text.get(..end)).filter(|_| text.ends_with('-'));
    start.map_or_else(|| text.to_owned(), |start| format!("{start}a"))
}

fn qualified_name(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        None => (None, text),
        Some((prefix, name)) if !name.contains('/') => (Some(prefix), name),
        Some(_) => {
            let hint = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {} {hint}", NAME.description())];
        }
    };
    let empty = "must be non-empty".to_owned();
    let of_prefix = match prefix {
        None => vec![],
        Some("") => vec![empty.clone()],
        Some(prefix) => SUBDOMAIN.faults(prefix, "bytes"),
    };
    let mut of_name = if name.is_empty() { vec![empty] } else { vec![] };
    of_name.extend(NAME.faults(name, "bytes"));
    let of_prefix = of_prefix.into_iter().map(|fault| format!("prefix part {fault}"));
    of_prefix.chain(of_name.into_iter().map(|fault| format!("name part {fault}"))).collect()
}

/// Digits in groups, with dashes between them or without.
fn is_uuid(text: &str) -> bool {
    let mut rest = text.as_bytes();
    for (at, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        rest = if at > 0 { rest.strip_prefix(b"-").unwrap_or(rest) } else { rest };
        let Some((group, after)) = rest.split_at_checked(length) else { return false };
        if !group.iter().all(u8::is_ascii_hexdigit) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Groups of four, of which the last may lack one or two; there is at least one.
fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    !text.is_empty() && text.len().is_multiple_of(4) && digits.bytes().all(is_digit)
}

/// A time of day and a zone, in lower case.
static TIME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})$").ok());

/// What comes after a second `t` is not looked at, as upstream.
fn is_date_time(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let mut parts = text.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    is_date(date) && TIME.as_ref().is_some_and(|pattern| pattern.is_match(time))
}
