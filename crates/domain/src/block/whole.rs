//! What must hold for the network as a whole, and for a residual as a whole.

use super::catalogue::product;
use super::error::{ErrorRule, Problem, written};
use super::{Block, MAX_BLOCKS, MAX_NESTING};

pub(super) fn wrong_list(blocks: &[Block]) -> Option<Problem> {
    if blocks.is_empty() {
        let message = "The list has no blocks; begin for instance with Flatten and end with Linear.";
        return Some(Problem::new(ErrorRule::Empty, message));
    }
    let count = count(blocks);
    (count > MAX_BLOCKS).then(|| {
        let message = format!(
            "The network has {count} blocks, those inside residuals counted too; at most {MAX_BLOCKS} are allowed."
        );
        let problem = Problem::new(ErrorRule::TooLarge, message);
        problem.expected(format!("at most {MAX_BLOCKS}")).actual(count)
    })
}

/// Blocks of a list and of all lists inside. Without recursion, since nothing bounds the depth yet.
fn count(blocks: &[Block]) -> usize {
    let mut lists = vec![blocks];
    let mut count = 0;
    while let Some(list) = lists.pop() {
        count += list.len();
        for block in list {
            lists.extend(block.main.as_deref());
            lists.extend(block.shortcut.as_deref());
        }
    }
    count
}

pub(super) fn wrong_input(shape: &[usize]) -> Option<Problem> {
    shape.contains(&0).then(|| {
        let shape = written(shape);
        let message = format!("The images are {shape}: there is nothing to compute on.");
        Problem::new(ErrorRule::OutOfRange, message).actual(shape)
    })
}

pub(super) fn wrong_output(shape: &[usize], classes: usize) -> Option<Problem> {
    if shape == [classes] {
        return None;
    }
    let end = match shape {
        [_] => format!("give the last Linear out_features {classes}"),
        _ if product(shape) == classes as u64 => "end it with Flatten".to_owned(),
        _ => format!("end it with Flatten and Linear with out_features {classes}"),
    };
    let shape = written(shape);
    let message =
        format!("The network ends with {shape}, but must end with one score for each of {classes} classes: {end}.");
    let problem = Problem::new(ErrorRule::WrongOutput, message);
    Some(problem.expected(classes).actual(shape))
}

pub(super) fn too_deep() -> Problem {
    let message = format!("Residuals stand more than {MAX_NESTING} deep inside each other: flatten the network.");
    let problem = Problem::new(ErrorRule::TooLarge, message);
    problem
        .expected(format!("at most {MAX_NESTING} deep"))
        .actual(MAX_NESTING + 1)
}

pub(super) fn no_main(is_given: bool) -> Problem {
    let rule = if is_given {
        ErrorRule::Empty
    } else {
        ErrorRule::MissingParameter
    };
    let message = "Residual needs `main`, a list of at least one block beside `kind`.";
    Problem::new(rule, message)
        .of("main")
        .expected("a list of at least one block")
}

pub(super) fn branches_differ(main: &[usize], shortcut: &[usize], is_identity: bool) -> Problem {
    let [main, shortcut] = [main, shortcut].map(written);
    let what = if is_identity {
        "the input, which the shortcut adds to it,"
    } else {
        "`shortcut`"
    };
    let message = format!(
        "`main` gives {main} and {what} has {shortcut}: make them equal, for instance with a Conv2d of \
         kernel_size 1 in `shortcut` that has the channels and the stride of `main`."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).of("shortcut");
    problem.expected(main).actual(shortcut)
}

/// The problem of the block that carries a total over its limit; the blocks after it have none.
pub(super) fn exceeded(what: &str, before: u64, after: u64, limit: u64) -> Option<Problem> {
    (before <= limit && after > limit).then(|| {
        let message = format!(
            "With this block the network has {after} {what}; at most {limit} are allowed. Take fewer \
             channels or features, or make the image smaller first."
        );
        Problem::new(ErrorRule::TooLarge, message)
            .expected(format!("at most {limit}"))
            .actual(after)
    })
}
