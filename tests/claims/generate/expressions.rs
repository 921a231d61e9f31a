//! Expressions from a grammar: mostly well typed, sometimes not, over the attributes of the corpus' device.

use super::dice::Dice;

/// What an expression is meant to be.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int,
    Text,
    Quantity,
    Version,
    List,
}

const KINDS: [Kind; 6] = [Kind::Bool, Kind::Int, Kind::Text, Kind::Quantity, Kind::Version, Kind::List];

/// The selector of a seed.
pub fn expression(seed: u64) -> String {
    Grammar { dice: Dice::new(seed), bound: 0 }.of(Kind::Bool, 4)
}

struct Grammar {
    dice: Dice,
    /// Variables that comprehensions have named so far.
    bound: usize,
}

impl Grammar {
    fn of(&mut self, kind: Kind, depth: usize) -> String {
        // Not everything is what it should be.
        let kind = if self.dice.chance(3) { *self.dice.pick(&KINDS) } else { kind };
        if depth == 0 || self.dice.chance(12) {
            return self.leaf(kind);
        }
        let depth = depth - 1;
        match kind {
            Kind::Bool => self.bool(depth),
            Kind::Int => self.int(depth),
            Kind::Text => self.text(depth),
            Kind::Quantity => self.quantity(depth),
            Kind::Version => self.version(depth),
            Kind::List => self.list(depth),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let own = "device.attributes['gpu.example.com']";
        let leaves: &[&str] = match kind {
            Kind::Bool => &["true", "false", "#.healthy", "device.allowMultipleAllocations", "#.absent", "#.flags[0]"],
            Kind::Int => {
                &["0", "1", "3", "-1", "9223372036854775807", "#.index", "#.links[1]", "size('h\u{e9}')", "2u"]
            }
            Kind::Text => {
                &["'H100'", "''", "'a'", "#.model", "device.driver", "#.names[0]", "#['model']", "#.badRegex"]
            }
            Kind::Quantity => {
                &["quantity('64Gi')", "quantity('1.5')", "quantity('x')", "@.memory", "@.cores", "@.absent"]
            }
            Kind::Version => &["semver('1.2.3')", "semver('1.2')", "#.driverVersion", "#.versions[0]", "#.model"],
            Kind::List => &["#.links", "#.names", "[]", "[1, 2]", "['a', 'b']", "#.versions", "#.flags", "#.index"],
        };
        self.dice.pick(leaves).replace('#', own).replace('@', "device.capacity['gpu.example.com']")
    }

    fn bool(&mut self, depth: usize) -> String {
        use Kind::{Bool, Int, List, Quantity, Text, Version};
        match self.dice.between(0, 23) {
            0 | 1 => format!("({} && {})", self.of(Bool, depth), self.of(Bool, depth)),
            2 | 3 => format!("({} || {})", self.of(Bool, depth), self.of(Bool, depth)),
            4 => format!("!{}", self.of(Bool, depth)),
            5 => format!("({} ? {} : {})", self.of(Bool, depth), self.of(Bool, depth), self.of(Bool, depth)),
            6 | 7 => {
                let kind = *self.dice.pick(&KINDS);
                let sign = *self.dice.pick(&["==", "!="]);
                // Upstream's sums of quantities can be compared, but on the right of an equality they are an error.
                let depth = if matches!(kind, Quantity) { 0 } else { depth };
                format!("{} {sign} {}", self.of(kind, depth), self.of(kind, depth))
            }
            8 | 9 => {
                let kind = *self.dice.pick(&[Int, Int, Text, Bool]);
                let sign = *self.dice.pick(&["<", "<=", ">", ">="]);
                format!("{} {sign} {}", self.of(kind, depth), self.of(kind, depth))
            }
            10 => {
                let kind = *self.dice.pick(&[Int, Text]);
                format!("{} in {}", self.of(kind, depth), self.of(List, depth))
            }
            11 => {
                let function = *self.dice.pick(&["startsWith", "endsWith", "contains", "matches"]);
                format!("{}.{function}({})", self.of(Text, depth), self.of(Text, depth))
            }
            12 => {
                let function = *self.dice.pick(&["isGreaterThan", "isLessThan"]);
                let kind = *self.dice.pick(&[Quantity, Version]);
                format!("{}.{function}({})", self.of(kind, depth), self.of(kind, depth))
            }
            13 => {
                let name = *self.dice.pick(&["model", "absent", "index", "zone"]);
                let domain = *self.dice.pick(&["gpu.example.com", "other.example.com", "unknown.example.com"]);
                match self.dice.between(0, 2) {
                    0 => format!("has(device.attributes['{domain}'].{name})"),
                    1 => format!("'{name}' in device.attributes['{domain}']"),
                    _ => format!("device.attributes['{domain}'].?{name}.hasValue()"),
                }
            }
            14 | 15 => self.comprehension(&["exists", "all", "exists_one"], Bool, depth),
            16 => format!("cel.bind(v, {}, v == {})", self.of(Int, depth), self.of(Int, depth)),
            17 => {
                let kind = *self.dice.pick(&[Int, Text]);
                format!("{}.includes({})", self.of(List, depth), self.of(kind, depth))
            }
            18 => format!("isQuantity({})", self.of(Text, depth)),
            20 => format!("{}({})", self.dice.pick(&["isIP", "isCIDR"]), self.address()),
            21 => {
                let function = *self.dice.pick(&["containsIP", "containsCIDR"]);
                format!("cidr({}).{function}({})", self.address(), self.address())
            }
            22 => {
                let sign = *self.dice.pick(&["<", "<=", "==", "!="]);
                format!("duration({}) {sign} duration({})", self.span(), self.span())
            }
            // Which overload it is depends on the types of what a list is joined from.
            19 => format!("{}.isSorted()", self.leaf(List)),
            _ => format!("isSemver({})", self.of(Text, depth)),
        }
    }

    fn int(&mut self, depth: usize) -> String {
        use Kind::{Bool, Int, List, Quantity, Text, Version};
        match self.dice.between(0, 9) {
            0..=3 => {
                let sign = *self.dice.pick(&["+", "-", "*", "/", "%"]);
                format!("({} {sign} {})", self.of(Int, depth), self.of(Int, depth))
            }
            4 => {
                let kind = *self.dice.pick(&[Text, List]);
                format!("size({})", self.of(kind, depth))
            }
            5 => {
                let kind = *self.dice.pick(&[Quantity, Version]);
                format!("{}.compareTo({})", self.of(kind, depth), self.of(kind, depth))
            }
            6 => format!("{}.{}()", self.of(Version, depth), self.dice.pick(&["major", "minor", "patch"])),
            7 => format!("int({})", self.of(Text, depth)),
            8 => format!("({} ? {} : {})", self.of(Bool, depth), self.of(Int, depth), self.of(Int, depth)),
            _ => format!("device.attributes['gpu.example.com'].?absent.orValue({})", self.of(Int, depth)),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        use Kind::{Bool, Int, List, Text};
        match self.dice.between(0, 9) {
            0 | 1 => format!("({} + {})", self.of(Text, depth), self.of(Text, depth)),
            2 => format!("{}.{}()", self.of(Text, depth), self.dice.pick(&["lowerAscii", "upperAscii", "trim"])),
            3 => {
                let kind = *self.dice.pick(&[Int, Bool, Text]);
                format!("string({})", self.of(kind, depth))
            }
            4 => format!("{}.substring({})", self.of(Text, depth), self.of(Int, depth)),
            5 => format!("{}.replace({}, {})", self.of(Text, depth), self.of(Text, depth), self.of(Text, depth)),
            7 => format!("strings.quote({})", self.of(Text, depth)),
            8 => format!("string(ip({}))", self.address()),
            // A list that is written out as an index is refused for another reason than its type.
            6 => format!("{}[0 + {}]", self.of(List, depth), self.of(Int, depth)),
            _ => format!("device.attributes['gpu.example.com'].?model.orValue({})", self.of(Text, depth)),
        }
    }

    fn quantity(&mut self, depth: usize) -> String {
        use Kind::{Int, Quantity, Text};
        match self.dice.between(0, 2) {
            0 => format!("quantity({})", self.of(Text, depth)),
            1 => format!(
                "{}.{}({})",
                self.of(Quantity, depth),
                self.dice.pick(&["add", "sub"]),
                self.of(Quantity, depth)
            ),
            _ => format!("{}.add({})", self.of(Quantity, depth), self.of(Int, depth)),
        }
    }

    fn address(&mut self) -> &'static str {
        self.dice.pick::<&str>(&[
            "'10.0.0.1'",
            "'10.0.0.0/8'",
            "'10.1.2.3/16'",
            "'::1'",
            "'2001:DB8::/32'",
            "'::ffff:1.2.3.4'",
            "'01.2.3.4'",
            "'fe80::1%a'",
            "'1.2.3'",
            "''",
        ])
    }

    /// A duration, mostly; what is written out wrong is refused.
    fn span(&mut self) -> &'static str {
        self.dice.pick::<&str>(&["'1h'", "'60m'", "'1.5s'", "'-1500ms'", "'0'", "'1'", "'' + '2us'", "'' + '1d'", "5"])
    }

    fn version(&mut self, depth: usize) -> String {
        format!("semver({})", self.of(Kind::Text, depth))
    }

    fn list(&mut self, depth: usize) -> String {
        use Kind::{Int, List, Text};
        match self.dice.between(0, 9) {
            0 => format!("[{}, {}]", self.of(Int, depth), self.of(Int, depth)),
            1 => format!("[{}, {}]", self.of(Text, depth), self.of(Text, depth)),
            2 => format!("({} + {})", self.of(List, depth), self.of(List, depth)),
            3 => self.comprehension(&["filter"], Kind::Bool, depth),
            4 => self.comprehension(&["map"], Int, depth),
            5 => format!("[[{}], [{}]].flatten()", self.of(Int, depth), self.of(Int, depth)),
            6 => format!("[{}, {}].sort()", self.of(Int, depth), self.of(Int, depth)),
            // Where the list itself fails, upstream's interpreter panics: that is nothing to agree with.
            7 => format!("[{}, {}].sortBy(s, -s)", self.dice.between(0, 9), self.dice.between(0, 9)),
            // In which order upstream goes through a map is left to chance.
            8 => format!("[size(['a', 'b'].transformMap(i, v, {}))]", self.of(Int, depth)),
            _ => format!("{}.split({})", self.of(Text, depth), self.of(Text, depth)),
        }
    }

    /// A macro over a list, or over the names of a map.
    fn comprehension(&mut self, macros: &[&str], kind: Kind, depth: usize) -> String {
        // In which order upstream goes through a map is left to chance: a list must not come of it.
        let over = match matches!(kind, Kind::Bool) && !macros.contains(&"filter") && self.dice.chance(20) {
            true => "device.attributes['gpu.example.com']".to_owned(),
            false => self.of(Kind::List, depth),
        };
        self.bound += 1;
        let variable = format!("x{}", self.bound);
        let inner = match self.dice.between(0, 2) {
            0 => self.of(kind, depth),
            1 => format!("{variable} == {}", self.of(Kind::Int, depth)),
            _ => format!("{variable} != {}", self.of(Kind::Text, depth)),
        };
        let inner =
            if matches!(kind, Kind::Int) { format!("{variable} + {}", self.of(Kind::Int, depth)) } else { inner };
        format!("{over}.{}({variable}, {inner})", self.dice.pick(macros))
    }
}
