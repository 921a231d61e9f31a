//! Which functions there are, and for which types: the standard library and the libraries of Kubernetes' environment, all
//! that an expression about a device can name. That includes the library of authorization: it has no values here, but what
//! is not known before it is evaluated could be one.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::types::{Type, Unknowns};

/// One overload a line. `A`, `B` are any types; a name before the dot means that it is called on the first argument.
const TABLE: &str = "
_?_:_(bool, A, A) A
!_(bool) bool
@not_strictly_false(bool) bool
_==_(A, A) bool
_!=_(A, A) bool
_+_(bytes, bytes) bytes
_+_(double, double) double
_+_(int, int) int
_+_(list<A>, list<A>) list<A>
_+_(string, string) string
_+_(uint, uint) uint
_-_(double, double) double
_-_(int, int) int
_-_(uint, uint) uint
_*_(double, double) double
_*_(int, int) int
_*_(uint, uint) uint
_/_(double, double) double
_/_(int, int) int
_/_(uint, uint) uint
_%_(int, int) int
_%_(uint, uint) uint
-_(double) double
-_(int) int
_[_](list<A>, int) A
_[_](map<A, B>, A) B
_[_](optional<list<A>>, int) optional<A>
_[_](optional<map<A, B>>, A) optional<B>
_[?_](list<A>, int) optional<A>
_[?_](optional<list<A>>, int) optional<A>
_[?_](map<A, B>, A) optional<B>
_[?_](optional<map<A, B>>, A) optional<B>
@in(A, list<A>) bool
@in(A, map<A, B>) bool
size(bytes) int
size(list<A>) int
size(map<A, B>) int
size(string) int
.size(bytes) int
.size(list<A>) int
.size(map<A, B>) int
.size(string) int
type(A) type<A>
bool(bool) bool
bool(string) bool
bytes(bytes) bytes
bytes(string) bytes
double(double) double
double(int) double
double(string) double
double(uint) double
dyn(A) dyn
int(int) int
int(double) int
int(string) int
int(uint) int
string(string) string
string(bool) string
string(bytes) string
string(double) string
string(int) string
string(uint) string
uint(uint) uint
uint(double) uint
uint(int) uint
uint(string) uint
.contains(string, string) bool
.endsWith(string, string) bool
.startsWith(string, string) bool
matches(string, string) bool
.matches(string, string) bool
.charAt(string, int) string
.indexOf(string, string) int
.indexOf(string, string, int) int
.lastIndexOf(string, string) int
.lastIndexOf(string, string, int) int
.lowerAscii(string) string
.upperAscii(string) string
.replace(string, string, string) string
.replace(string, string, string, int) string
.split(string, string) list<string>
.split(string, string, int) list<string>
.substring(string, int) string
.substring(string, int, int) string
.trim(string) string
.join(list<string>) string
.join(list<string>, string) string
.find(string, string) string
.findAll(string, string) list<string>
.findAll(string, string, int) list<string>
.indexOf(list<A>, A) int
.lastIndexOf(list<A>, A) int
.isSorted(list<int>) bool
.isSorted(list<uint>) bool
.isSorted(list<double>) bool
.isSorted(list<bool>) bool
.isSorted(list<string>) bool
.isSorted(list<bytes>) bool
.sum(list<int>) int
.sum(list<uint>) uint
.sum(list<double>) double
.min(list<int>) int
.min(list<uint>) uint
.min(list<double>) double
.min(list<bool>) bool
.min(list<string>) string
.min(list<bytes>) bytes
.max(list<int>) int
.max(list<uint>) uint
.max(list<double>) double
.max(list<bool>) bool
.max(list<string>) string
.max(list<bytes>) bytes
.slice(list<A>, int, int) list<A>
.reverse(list<A>) list<A>
.distinct(list<A>) list<A>
.first(list<A>) optional<A>
.last(list<A>) optional<A>
lists.range(int) list<int>
sets.contains(list<A>, list<A>) bool
sets.equivalent(list<A>, list<A>) bool
sets.intersects(list<A>, list<A>) bool
optional.of(A) optional<A>
optional.ofNonZeroValue(A) optional<A>
optional.none() optional<A>
optional.unwrap(list<optional<A>>) list<A>
.unwrapOpt(list<optional<A>>) list<A>
.value(optional<A>) A
.hasValue(optional<A>) bool
.or(optional<A>, optional<A>) optional<A>
.orValue(optional<A>, A) A
quantity(string) quantity
isQuantity(string) bool
sign(quantity) int
.isGreaterThan(quantity, quantity) bool
.isLessThan(quantity, quantity) bool
.compareTo(quantity, quantity) int
.asApproximateFloat(quantity) double
.asInteger(quantity) int
.isInteger(quantity) bool
.add(quantity, quantity) quantity
.add(quantity, int) quantity
.sub(quantity, quantity) quantity
.sub(quantity, int) quantity
semver(string) semver
semver(string, bool) semver
isSemver(string) bool
isSemver(string, bool) bool
.isGreaterThan(semver, semver) bool
.isLessThan(semver, semver) bool
.compareTo(semver, semver) int
.major(semver) int
.minor(semver) int
.patch(semver) int
.includes(dyn, dyn) bool
.flatten(list<list<A>>) list<A>
.flatten(list<dyn>, int) list<dyn>
.sort(list<int>) list<int>
.sort(list<uint>) list<uint>
.sort(list<double>) list<double>
.sort(list<bool>) list<bool>
.sort(list<duration>) list<duration>
.sort(list<timestamp>) list<timestamp>
.sort(list<string>) list<string>
.sort(list<bytes>) list<bytes>
.@sortByAssociatedKeys(list<A>, list<int>) list<A>
.@sortByAssociatedKeys(list<A>, list<uint>) list<A>
.@sortByAssociatedKeys(list<A>, list<double>) list<A>
.@sortByAssociatedKeys(list<A>, list<bool>) list<A>
.@sortByAssociatedKeys(list<A>, list<duration>) list<A>
.@sortByAssociatedKeys(list<A>, list<timestamp>) list<A>
.@sortByAssociatedKeys(list<A>, list<string>) list<A>
.@sortByAssociatedKeys(list<A>, list<bytes>) list<A>
cel.@mapInsert(map<A, B>, A, B) map<A, B>
cel.@mapInsert(map<A, B>, map<A, B>) map<A, B>
strings.quote(string) string
.format(string, list<dyn>) string
duration(duration) duration
duration(int) duration
duration(string) duration
_+_(duration, duration) duration
_+_(duration, timestamp) timestamp
_+_(timestamp, duration) timestamp
_-_(duration, duration) duration
_-_(timestamp, duration) timestamp
_-_(timestamp, timestamp) duration
int(duration) int
string(duration) string
.getHours(duration) int
.getMinutes(duration) int
.getSeconds(duration) int
.getMilliseconds(duration) int
.isSorted(list<duration>) bool
.isSorted(list<timestamp>) bool
.sum(list<duration>) duration
.min(list<duration>) duration
.min(list<timestamp>) timestamp
.max(list<duration>) duration
.max(list<timestamp>) timestamp
timestamp(timestamp) timestamp
timestamp(int) timestamp
timestamp(string) timestamp
int(timestamp) int
string(timestamp) string
.getFullYear(timestamp) int
.getFullYear(timestamp, string) int
.getMonth(timestamp) int
.getMonth(timestamp, string) int
.getDayOfYear(timestamp) int
.getDayOfYear(timestamp, string) int
.getDayOfMonth(timestamp) int
.getDayOfMonth(timestamp, string) int
.getDate(timestamp) int
.getDate(timestamp, string) int
.getDayOfWeek(timestamp) int
.getDayOfWeek(timestamp, string) int
.getHours(timestamp) int
.getHours(timestamp, string) int
.getMinutes(timestamp) int
.getMinutes(timestamp, string) int
.getSeconds(timestamp) int
.getSeconds(timestamp, string) int
.getMilliseconds(timestamp) int
.getMilliseconds(timestamp, string) int
ip(string) ip
isIP(string) bool
ip.isCanonical(string) bool
.family(ip) int
.isUnspecified(ip) bool
.isLoopback(ip) bool
.isLinkLocalMulticast(ip) bool
.isLinkLocalUnicast(ip) bool
.isGlobalUnicast(ip) bool
string(ip) string
cidr(string) cidr
isCIDR(string) bool
.containsIP(cidr, string) bool
.containsIP(cidr, ip) bool
.containsCIDR(cidr, string) bool
.containsCIDR(cidr, cidr) bool
.ip(cidr) ip
.prefixLength(cidr) int
.masked(cidr) cidr
string(cidr) string
url(string) url
isURL(string) bool
.getScheme(url) string
.getHost(url) string
.getHostname(url) string
.getPort(url) string
.getEscapedPath(url) string
.getQuery(url) map<string, list<string>>
format.dns1123Label() format
format.dns1123LabelPrefix() format
format.dns1123Subdomain() format
format.dns1123SubdomainPrefix() format
format.dns1035Label() format
format.dns1035LabelPrefix() format
format.qualifiedName() format
format.labelValue() format
format.uri() format
format.uuid() format
format.byte() format
format.date() format
format.datetime() format
format.named(string) optional<format>
.validate(format, string) optional<list<string>>
.path(Authorizer, string) PathCheck
.group(Authorizer, string) GroupCheck
.serviceAccount(Authorizer, string, string) Authorizer
.resource(GroupCheck, string) ResourceCheck
.subresource(ResourceCheck, string) ResourceCheck
.namespace(ResourceCheck, string) ResourceCheck
.name(ResourceCheck, string) ResourceCheck
.fieldSelector(ResourceCheck, string) ResourceCheck
.labelSelector(ResourceCheck, string) ResourceCheck
.check(PathCheck, string) Decision
.check(ResourceCheck, string) Decision
.allowed(Decision) bool
.reason(Decision) string
.errored(Decision) bool
.error(Decision) string
";

/// Types that are ordered, by themselves and numbers with each other.
const ORDERED: [Type; 5] = [Type::Bool, Type::String, Type::Bytes, Type::Duration, Type::Timestamp];
const NUMBERS: [Type; 3] = [Type::Int, Type::Uint, Type::Double];

/// An overload of a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub member: bool,
    args: Vec<Type>,
    result: Type,
    /// How many types of any kind it speaks of.
    variables: usize,
}

impl Overload {
    /// Argument types and result, with variables of their own.
    pub fn instance(&self, unknowns: &mut Unknowns) -> (Vec<Type>, Type) {
        let first = unknowns.fresh_block(self.variables);
        let instance = |wanted: &Type| renumbered(wanted, first);
        (self.args.iter().map(instance).collect(), instance(&self.result))
    }

    /// How many arguments it takes, with the one that it is called on.
    pub fn arity(&self) -> usize {
        self.args.len()
    }
}

fn renumbered(wanted: &Type, first: usize) -> Type {
    match wanted {
        Type::Var(var) => Type::Var(first + var),
        Type::List(item) => Type::list(renumbered(item, first)),
        Type::Optional(inner) => Type::optional(renumbered(inner, first)),
        Type::Meta(inner) => Type::Meta(Arc::new(renumbered(inner, first))),
        Type::Map(key, value) => Type::map(renumbered(key, first), renumbered(value, first)),
        _ => wanted.clone(),
    }
}

static FUNCTIONS: LazyLock<BTreeMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut functions: BTreeMap<&str, Vec<Overload>> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let (name, overload) = read(line).unwrap_or_else(|| panic!("the table of functions: {line}"));
        functions.entry(name).or_default().push(overload);
    }
    for operator in ["_<_", "_<=_", "_>_", "_>=_"] {
        let alike = ORDERED.into_iter().map(|ordered| vec![ordered.clone(), ordered]);
        let numbers = NUMBERS.into_iter().flat_map(|a| NUMBERS.map(|b| vec![a.clone(), b]));
        let overload = |args| Overload { member: false, args, result: Type::Bool, variables: 0 };
        functions.insert(operator, alike.chain(numbers).map(overload).collect());
    }
    functions
});

/// The overloads of a function.
pub(super) fn function(name: &str) -> Option<(&'static str, &'static [Overload])> {
    FUNCTIONS.get_key_value(name).map(|(name, overloads)| (*name, overloads.as_slice()))
}

/// All functions, by name.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.keys().copied()
}

fn read(line: &'static str) -> Option<(&'static str, Overload)> {
    let (signature, result) = line.rsplit_once(") ")?;
    let (name, args) = signature.split_once('(')?;
    let (name, member) = name.strip_prefix('.').map_or((name, false), |name| (name, true));
    let args = split(args).into_iter().map(read_type).collect::<Option<Vec<Type>>>()?;
    let variables = 2 * usize::from(line.contains(['A', 'B']));
    Some((name, Overload { member, args, result: read_type(result)?, variables }))
}

/// The parts between commas that are in no brackets.
fn split(list: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut start) = (vec![], 0, 0);
    for (at, byte) in list.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !list.is_empty() {
        parts.push(&list[start..]);
    }
    parts.into_iter().map(str::trim).collect()
}

fn read_type(text: &'static str) -> Option<Type> {
    if let Some((outer, inner)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        let inner = split(inner).into_iter().map(read_type).collect::<Option<Vec<Type>>>()?;
        return match (outer, inner.as_slice()) {
            ("list", [item]) => Some(Type::list(item.clone())),
            ("map", [key, value]) => Some(Type::map(key.clone(), value.clone())),
            ("optional", [inner]) => Some(Type::optional(inner.clone())),
            ("type", [inner]) => Some(Type::Meta(Arc::new(inner.clone()))),
            _ => None,
        };
    }
    Some(match text {
        "A" => Type::Var(0),
        "B" => Type::Var(1),
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "quantity" => Type::Quantity,
        "semver" => Type::Semver,
        "ip" => Type::Ip,
        "cidr" => Type::Cidr,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "url" => Type::Url,
        "format" => Type::Format,
        "Authorizer" | "PathCheck" | "GroupCheck" | "ResourceCheck" | "Decision" => Type::Authorization(text),
        _ => return None,
    })
}
