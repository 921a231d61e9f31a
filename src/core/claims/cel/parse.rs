//! From text to syntax tree: the parser and macros of the `cel` crate, and bounds on what it is given.
//!
//! The parser recurses, and a stack overflow would end the process. So nesting is counted before it starts, and the tree
//! is measured before anything else walks it. It must run where the stack is large: see [`Program::compile`].
//!
//! [`Program::compile`]: super::Program::compile

use std::sync::{Arc, LazyLock};

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, operators,
};
use cel::parser::{Macro, MacroExprHelper, ParseError};
use cel::{Env, IdedExpr as Tree};

use super::CompileError;
use super::collections::{MAP_INSERT, SORT_BY_KEYS};

/// Longest expression: `CELSelectorExpressionMaxLength` of `k8s.io/api/resource/v1`.
pub const MAX_LENGTH: usize = 10 * 1024;

/// Deepest nesting, as `cel-go` (`maxRecursionDepth`).
pub const MAX_DEPTH: usize = 250;

/// The standard macros, those of optionals, and those of the extensions that Kubernetes has.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    let own = [
        Macro::receiver("bind", 3, bind),
        Macro::receiver("all", 3, |helper, target, args| two_variables(helper, target, args, Goal::All)),
        Macro::receiver("exists", 3, |helper, target, args| two_variables(helper, target, args, Goal::Exists)),
        Macro::receiver("existsOne", 3, |helper, target, args| two_variables(helper, target, args, Goal::ExistsOne)),
        Macro::receiver("exists_one", 3, |helper, target, args| two_variables(helper, target, args, Goal::ExistsOne)),
        Macro::receiver("transformList", 3, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformList)
        }),
        Macro::receiver("transformList", 4, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformList)
        }),
        Macro::receiver("transformMap", 3, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformMap)
        }),
        Macro::receiver("transformMap", 4, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformMap)
        }),
        Macro::receiver("transformMapEntry", 3, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformMapEntry)
        }),
        Macro::receiver("transformMapEntry", 4, |helper, target, args| {
            two_variables(helper, target, args, Goal::TransformMapEntry)
        }),
        Macro::receiver("sortBy", 2, sort_by),
    ];
    for own in own {
        // Each is new to the standard environment; a test asks for all.
        let _ = env.add_macro(own);
    }
    Arc::new(env)
});

/// Parses an expression.
pub fn parse(expression: &str) -> Result<Tree, CompileError> {
    if expression.len() > MAX_LENGTH {
        return Err(CompileError::TooLong(expression.len()));
    }
    if nesting(expression) > MAX_DEPTH {
        return Err(CompileError::TooDeep);
    }
    let parser = ENVIRONMENT.parser().max_recursion_depth(u16::MAX);
    let tree = parser.parse(expression).map_err(|errors| {
        // One is enough, and without the picture of the place.
        let error = errors.errors.into_iter().next();
        let what = error.map_or_else(|| "is no expression".into(), |error: ParseError| describe(&error));
        CompileError::Syntax(what)
    })?;
    Ok(tree)
}

fn describe(error: &ParseError) -> String {
    let (line, column) = error.pos;
    if line > 0 { format!("{line}:{column}: {}", error.msg) } else { error.msg.clone() }
}

/// How deep the parser would recurse: brackets, conditions, and chains of operators that bind to the left. Literals may
/// hold brackets, too, which is no matter: a bound is all that is wanted.
fn nesting(expression: &str) -> usize {
    let (mut depth, mut deepest, mut questions) = (0usize, 0usize, 0usize);
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'?' => questions += 1,
            _ => {}
        }
    }
    deepest.max(questions)
}

type Expansion = Result<Option<IdedExpr>, ParseError>;

fn call(helper: &mut MacroExprHelper<'_>, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    helper.next_expr(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}

fn literal(helper: &mut MacroExprHelper<'_>, value: LiteralValue) -> IdedExpr {
    helper.next_expr(Expr::Literal(value))
}

fn name_of(helper: &MacroExprHelper<'_>, expr: &IdedExpr) -> Result<String, ParseError> {
    match &expr.expr {
        Expr::Ident(name) => Ok(name.clone()),
        _ => Err(helper.new_error(expr.id, "argument must be a simple name")),
    }
}

/// `cel.bind(name, value, in)`: a comprehension over nothing, whose accumulator is the name.
fn bind(helper: &mut MacroExprHelper<'_>, target: &mut Option<IdedExpr>, args: &mut Vec<IdedExpr>) -> Expansion {
    if !matches!(target.as_ref().map(|target| &target.expr), Some(Expr::Ident(name)) if name == "cel") {
        return Ok(None);
    }
    let name = name_of(helper, &args[0])?;
    let (result, accu_init) = (args.remove(2), args.remove(1));
    let iter_range = helper.next_expr(Expr::List(ListExpr::new(vec![])));
    let loop_cond = literal(helper, LiteralValue::Boolean(false.into()));
    let loop_step = helper.next_expr(Expr::Ident(name.clone()));
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: "#unused".into(),
        iter_var2: None,
        accu_var: name,
        accu_init,
        loop_cond,
        loop_step,
        result,
    })))))
}

/// What a comprehension over pairs of key (or index) and value is for.
#[derive(Clone, Copy)]
enum Goal {
    All,
    Exists,
    ExistsOne,
    TransformList,
    TransformMap,
    TransformMapEntry,
}

const RESULT: &str = "@result";

fn two_variables(
    helper: &mut MacroExprHelper<'_>,
    target: &mut Option<IdedExpr>,
    args: &mut Vec<IdedExpr>,
    goal: Goal,
) -> Expansion {
    let (first, second) = (name_of(helper, &args[0])?, name_of(helper, &args[1])?);
    if first == second {
        return Err(helper.new_error(args[1].id, "duplicate variable name"));
    }
    let Some(iter_range) = target.take() else { return Ok(None) };
    let mut args = std::mem::take(args).split_off(2).into_iter();
    let (Some(one), other) = (args.next(), args.next()) else { return Ok(None) };
    let accu = |helper: &mut MacroExprHelper<'_>| helper.next_expr(Expr::Ident(RESULT.into()));
    let yes = |helper: &mut MacroExprHelper<'_>| literal(helper, LiteralValue::Boolean(true.into()));
    let (accu_init, loop_cond, loop_step, result);
    match goal {
        Goal::All => {
            accu_init = yes(helper);
            let so_far = accu(helper);
            loop_cond = call(helper, operators::NOT_STRICTLY_FALSE, vec![so_far]);
            let so_far = accu(helper);
            loop_step = call(helper, operators::LOGICAL_AND, vec![so_far, one]);
            result = accu(helper);
        }
        Goal::Exists => {
            accu_init = literal(helper, LiteralValue::Boolean(false.into()));
            let so_far = accu(helper);
            let not = call(helper, operators::LOGICAL_NOT, vec![so_far]);
            loop_cond = call(helper, operators::NOT_STRICTLY_FALSE, vec![not]);
            let so_far = accu(helper);
            loop_step = call(helper, operators::LOGICAL_OR, vec![so_far, one]);
            result = accu(helper);
        }
        Goal::ExistsOne => {
            accu_init = literal(helper, LiteralValue::Int(0.into()));
            loop_cond = yes(helper);
            let (so_far, unit) = (accu(helper), literal(helper, LiteralValue::Int(1.into())));
            let more = call(helper, operators::ADD, vec![so_far, unit]);
            let same = accu(helper);
            loop_step = call(helper, operators::CONDITIONAL, vec![one, more, same]);
            let (so_far, unit) = (accu(helper), literal(helper, LiteralValue::Int(1.into())));
            result = call(helper, operators::EQUALS, vec![so_far, unit]);
        }
        Goal::TransformList => {
            accu_init = helper.next_expr(Expr::List(ListExpr::new(vec![])));
            loop_cond = yes(helper);
            let (filter, item) = match other {
                Some(item) => (Some(one), item),
                None => (None, one),
            };
            let (so_far, item) = (accu(helper), helper.next_expr(Expr::List(ListExpr::new(vec![item]))));
            let longer = call(helper, operators::ADD, vec![so_far, item]);
            loop_step = filtered(helper, filter, longer);
            result = accu(helper);
        }
        Goal::TransformMap | Goal::TransformMapEntry => {
            accu_init = helper.next_expr(Expr::Map(MapExpr { entries: vec![] }));
            loop_cond = yes(helper);
            let (filter, item) = match other {
                Some(item) => (Some(one), item),
                None => (None, one),
            };
            let mut inserted = vec![accu(helper)];
            if matches!(goal, Goal::TransformMap) {
                inserted.push(helper.next_expr(Expr::Ident(first.clone())));
            }
            inserted.push(item);
            let larger = call(helper, MAP_INSERT, inserted);
            loop_step = filtered(helper, filter, larger);
            result = accu(helper);
        }
    }
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(ComprehensionExpr {
        iter_range,
        iter_var: first,
        iter_var2: Some(second),
        accu_var: RESULT.into(),
        accu_init,
        loop_cond,
        loop_step,
        result,
    })))))
}

/// A step of a loop that is only taken where the filter holds.
fn filtered(helper: &mut MacroExprHelper<'_>, filter: Option<IdedExpr>, step: IdedExpr) -> IdedExpr {
    let Some(filter) = filter else { return step };
    let same = helper.next_expr(Expr::Ident(RESULT.into()));
    call(helper, operators::CONDITIONAL, vec![filter, step, same])
}

const INPUT: &str = "@__sortBy_input__";

/// `list.sortBy(e, key)`: the keys of all elements are made first, then the list is put in their order.
fn sort_by(helper: &mut MacroExprHelper<'_>, target: &mut Option<IdedExpr>, args: &mut Vec<IdedExpr>) -> Expansion {
    let variable = name_of(helper, &args[0])?;
    let Some(list) = target.take() else { return Ok(None) };
    if matches!(list.expr, Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_)) {
        return Err(helper.new_error(list.id, "sortBy can only be applied to a list"));
    }
    let key = args.remove(1);
    let ident = |helper: &mut MacroExprHelper<'_>, name: &str| helper.next_expr(Expr::Ident(name.into()));
    let (iter_range, key) = (ident(helper, INPUT), helper.next_expr(Expr::List(ListExpr::new(vec![key]))));
    let so_far = ident(helper, RESULT);
    let loop_step = call(helper, operators::ADD, vec![so_far, key]);
    let keys = ComprehensionExpr {
        iter_range,
        iter_var: variable,
        iter_var2: None,
        accu_var: RESULT.into(),
        accu_init: helper.next_expr(Expr::List(ListExpr::new(vec![]))),
        loop_cond: literal(helper, LiteralValue::Boolean(true.into())),
        loop_step,
        result: ident(helper, RESULT),
    };
    let keys = helper.next_expr(Expr::Comprehension(Box::new(keys)));
    let input = Some(Box::new(ident(helper, INPUT)));
    let sorted = CallExpr { func_name: SORT_BY_KEYS.into(), target: input, args: vec![keys] };
    let bound = ComprehensionExpr {
        iter_range: helper.next_expr(Expr::List(ListExpr::new(vec![]))),
        iter_var: "#unused".into(),
        iter_var2: None,
        accu_var: INPUT.into(),
        accu_init: list,
        loop_cond: literal(helper, LiteralValue::Boolean(false.into())),
        loop_step: ident(helper, INPUT),
        result: helper.next_expr(Expr::Call(sorted)),
    };
    Ok(Some(helper.next_expr(Expr::Comprehension(Box::new(bound)))))
}

/// Whether a map entry is one; literals of maps have no others.
pub(super) fn map_entry(entry: &EntryExpr) -> Option<(&IdedExpr, &IdedExpr, bool)> {
    match entry {
        EntryExpr::MapEntry(entry) => Some((&entry.key, &entry.value, entry.optional)),
        EntryExpr::StructField(_) => None,
    }
}
