//! URLs, as `net/url` of Go reads and writes them: more is allowed than by the standard of browsers, and nothing is put
//! right.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::code::Function;
use super::fault::{Eval, Fault};
use super::functions::none;
use super::quote::quoted;
use super::value::{Key, MapValue, Value};

/// A query with more parameters is not looked at.
const MAX_PARAMETERS: usize = 10_000;

/// A URL, taken apart.
#[derive(Debug)]
pub(super) struct Url {
    scheme: String,
    /// With the port, and without escapes.
    host: String,
    /// With escapes.
    path: String,
    /// With escapes.
    query: String,
    /// The whole, put together again.
    text: String,
}

/// URLs are equal when they are written alike.
impl PartialEq for Url {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The function of a name that is about URLs, if it is one.
pub(super) fn named(name: &str) -> Option<Function> {
    Some(match name {
        "url" => |args| match args {
            [Value::String(text)] => match Url::parse(text) {
                Ok(url) => Ok(Value::Url(Arc::new(url))),
                Err(what) => Err(Fault::Value(format!("URL parse error during conversion from string: {what}"))),
            },
            args => none("url", args),
        },
        "isURL" => |args| match args {
            [Value::String(text)] => Ok(Value::Bool(check(text).is_ok())),
            args => none("isURL", args),
        },
        "getScheme" => |args| part("getScheme", args, |url| &url.scheme),
        "getHost" => |args| part("getHost", args, |url| &url.host),
        "getHostname" => |args| part("getHostname", args, |url| url.host_and_port().0),
        "getPort" => |args| part("getPort", args, |url| url.host_and_port().1),
        "getEscapedPath" => |args| part("getEscapedPath", args, |url| &url.path),
        "getQuery" => |args| match args {
            [Value::Url(url)] => Ok(parameters(&url.query)),
            args => none("getQuery", args),
        },
        _ => return None,
    })
}

fn part(name: &str, args: &[Value], of: fn(&Url) -> &str) -> Eval<Value> {
    match args {
        [Value::Url(url)] => Ok(Value::string(of(url))),
        args => none(name, args),
    }
}

/// Why a text is no URL, if it is none: neither absolute nor an absolute path.
pub(super) fn check(text: &str) -> Result<(), String> {
    Parts::read(text, true).map(|_| ()).map_err(|what| fault(text, &what))
}

fn fault(text: &str, what: &str) -> String {
    format!("parse {}: {what}", quoted(text.as_bytes()))
}

impl Url {
    /// Reads a URL twice, as upstream does: first as it would stand in a request, where a `#` has no meaning, then with the
    /// fragment.
    fn parse(text: &str) -> Result<Url, String> {
        check(text)?;
        let (main, fragment) = text.split_once('#').unwrap_or((text, ""));
        let parts = Parts::read(main, false).map_err(|what| fault(main, &what))?;
        let fragment = escaped_again(fragment, Part::Fragment).map_err(|what| fault(text, &what))?;
        let whole = parts.text(&fragment);
        Ok(Url {
            scheme: parts.scheme,
            host: String::from_utf8_lossy(&parts.host).into_owned(),
            path: parts.path,
            query: parts.query.to_owned(),
            text: whole,
        })
    }

    /// How long it is.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// The host without the brackets of an IPv6 address, and the port.
    fn host_and_port(&self) -> (&str, &str) {
        let colon = self.host.rfind(':').filter(|colon| is_port(&self.host[*colon..]));
        let (host, port) = colon.map_or((&*self.host, ""), |colon| (&self.host[..colon], &self.host[colon + 1..]));
        (host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host), port)
    }
}

/// The parameters of a query by name. What cannot be read is left out.
fn parameters(query: &str) -> Value {
    let mut values: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    if query.split('&').count() <= MAX_PARAMETERS {
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty() && !parameter.contains(';')) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if let (Ok(name), Ok(value)) = (unescaped(name, Part::Query), unescaped(value, Part::Query)) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                values.entry(text(&name)).or_default().push(Value::string(&text(&value)));
            }
        }
    }
    let entries = values.into_iter().map(|(name, values)| (Key::String(name.into()), Value::list(values)));
    Value::Map(Arc::new(MapValue { entries: entries.collect(), lenient: false }))
}

/// A URL without its fragment.
#[derive(Default)]
struct Parts<'t> {
    scheme: String,
    /// What follows a scheme without a slash.
    opaque: &'t str,
    /// With escapes.
    user: Option<String>,
    host: Vec<u8>,
    /// A scheme is followed by a path at once.
    no_host: bool,
    /// With escapes.
    path: String,
    query: &'t str,
    /// There is a question mark and no query.
    empty_query: bool,
}

impl<'t> Parts<'t> {
    fn read(text: &'t str, in_request: bool) -> Result<Parts<'t>, String> {
        let mut parts = Parts::default();
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".into());
        }
        if text.is_empty() && in_request {
            return Err("empty url".into());
        }
        if text == "*" {
            parts.path = text.to_owned();
            return Ok(parts);
        }
        let (scheme, mut rest) = split_scheme(text)?;
        parts.scheme = scheme.to_ascii_lowercase();
        (rest, parts.query) = rest.split_once('?').unwrap_or((rest, ""));
        parts.empty_query = parts.query.is_empty() && text.ends_with('?');
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                parts.opaque = rest;
                return Ok(parts);
            }
            if in_request {
                return Err("invalid URI for request".into());
            }
            if has_colon_first(rest) {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        let may_have_host = !scheme.is_empty() || !in_request && !rest.starts_with("///");
        if let Some(after) = rest.strip_prefix("//").filter(|_| may_have_host) {
            let (authority, path) = after.split_at(after.find('/').unwrap_or(after.len()));
            parts.read_authority(authority)?;
            rest = path;
        } else {
            parts.no_host = !scheme.is_empty() && rest.starts_with('/');
        }
        parts.path = escaped_again(rest, Part::Path)?;
        Ok(parts)
    }

    fn read_authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = read_host(&self.scheme, host)?;
        let Some(user) = user else { return Ok(()) };
        if !user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte)) {
            return Err("net/url: invalid userinfo".into());
        }
        let again = |text| Ok::<_, String>(escaped(&unescaped(text, Part::User)?, Part::User));
        self.user = Some(match user.split_once(':') {
            Some((name, password)) => format!("{}:{}", again(name)?, again(password)?),
            None => again(user)?,
        });
        Ok(())
    }

    /// The whole. What has no host and no user is written with slashes only if it was so.
    fn text(&self, fragment: &str) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text += &self.scheme;
            text.push(':');
        }
        if self.opaque.is_empty() {
            let is_bare = self.host.is_empty() && self.user.is_none();
            if !is_bare || !self.scheme.is_empty() && !self.no_host && !self.path.is_empty() {
                text += "//";
            }
            if let Some(user) = &self.user {
                text += user;
                text.push('@');
            }
            text += &escaped(&self.host, Part::Host);
            if text.is_empty() && has_colon_first(&self.path) {
                text += "./";
            }
            text += &self.path;
        } else {
            text += self.opaque;
        }
        if self.empty_query || !self.query.is_empty() {
            text.push('?');
            text += self.query;
        }
        if !fragment.is_empty() {
            text.push('#');
            text += fragment;
        }
        text
    }
}

/// The scheme, and what follows its colon; or no scheme, and the whole.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-' | '.'));
    match end.filter(|end| text.as_bytes()[*end] == b':') {
        Some(0) => Err("missing protocol scheme".into()),
        Some(end) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => Ok((&text[..end], &text[end + 1..])),
        _ => Ok(("", text)),
    }
}

/// Whether the part before the first slash looks as if it began with a scheme.
fn has_colon_first(path: &str) -> bool {
    path.split('/').next().is_some_and(|first| first.contains(':'))
}

/// A host with its port, without escapes.
fn read_host(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    match host.rfind('[') {
        Some(0) => {
            let end = host.rfind(']').ok_or("missing ']' in host")?;
            let port = &host[end + 1..];
            if !is_port(port) {
                return Err(wrong_port(port));
            }
            let address = read_literal(&host[1..end])?;
            Ok([b"[", &*address, b"]", port.as_bytes()].concat())
        }
        Some(_) => Err("invalid IP-literal".into()),
        None => {
            // Some databases have lists of hosts with ports; only the last port is looked at then.
            let is_strict = scheme == "http" || scheme == "https";
            let colon = if is_strict { host.find(':') } else { host.rfind(':') };
            if let Some(port) = colon.map(|colon| &host[colon..]).filter(|port| !is_port(port)) {
                return Err(wrong_port(port));
            }
            unescaped(host, Part::Host)
        }
    }
}

/// An IPv6 address, perhaps with a zone after an escaped percent sign.
fn read_literal(text: &str) -> Result<Vec<u8>, String> {
    let (address, zone) = text.split_at(text.find("%25").unwrap_or(text.len()));
    let literal = [unescaped(address, Part::Host)?, unescaped(zone, Part::Zone)?].concat();
    let mut parts = literal.splitn(2, |byte| *byte == b'%');
    let address = parts.next().and_then(|address| std::str::from_utf8(address).ok()).map(str::parse);
    match (address, parts.next()) {
        (Some(Ok(IpAddr::V6(_))), None) => Ok(literal),
        (Some(Ok(IpAddr::V6(_))), Some(zone)) if !zone.is_empty() => Ok(literal),
        (Some(Ok(IpAddr::V4(_))), None) => Err("invalid IP-literal".into()),
        _ => Err(format!("invalid host: ParseAddr({}): unable to parse IP", quoted(&literal))),
    }
}

/// Nothing, or a colon and digits, if any.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':').map_or(text.is_empty(), |port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn wrong_port(port: &str) -> String {
    format!("invalid port {} after host", quoted(port.as_bytes()))
}

/// Where something stands in a URL decides what has to be escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    /// Of an IPv6 address.
    Zone,
    User,
    Query,
    Fragment,
}

impl Part {
    /// Whether a byte can stand in it as it is.
    fn has(self, byte: u8) -> bool {
        let others: &[u8] = match self {
            Part::Path => b"$&+,/:;=@",
            Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"",
            Part::User => b"$&+,;=",
            Part::Query => b"",
            Part::Fragment => b"!$&()*+,/:;=?@",
        };
        byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || others.contains(&byte)
    }

    /// Whether a byte can be escaped in it. In a host, what is ASCII stands as it is, or not at all; and a percent sign
    /// announces a zone.
    fn hides(self, byte: u8, escape: &[u8]) -> bool {
        match self {
            Part::Host => !byte.is_ascii() || escape == b"%25",
            Part::Zone => byte == b' ' || escape == b"%25" || Part::Host.has(byte),
            _ => true,
        }
    }
}

fn unescaped(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(&byte) = rest.first() {
        let mut length = 1;
        match byte {
            b'%' => {
                let escape = &rest[..rest.len().min(3)];
                let byte = hidden(escape).filter(|byte| part.hides(*byte, escape));
                plain.push(byte.ok_or_else(|| format!("invalid URL escape {}", quoted(escape)))?);
                length = 3;
            }
            b'+' if part == Part::Query => plain.push(b' '),
            _ if matches!(part, Part::Host | Part::Zone) && byte.is_ascii() && !part.has(byte) => {
                return Err(format!("invalid character {} in host name", quoted(&[byte])));
            }
            _ => plain.push(byte),
        }
        rest = &rest[length..];
    }
    Ok(plain)
}

/// The byte that is written as a percent sign and two digits.
fn hidden(escape: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match escape {
        // Two digits are a byte.
        [_, high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

fn escaped(plain: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(plain.len());
    for byte in plain {
        if part.has(*byte) {
            text.push(char::from(*byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

/// How a path or a fragment with escapes is written: as it is where that is allowed, else with the escapes that are needed.
fn escaped_again(text: &str, part: Part) -> Result<String, String> {
    let plain = unescaped(text, part)?;
    let stands = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || part.has(byte);
    Ok(if text.bytes().all(stands) { text.to_owned() } else { escaped(&plain, part) })
}
