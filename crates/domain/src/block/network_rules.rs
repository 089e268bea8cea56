//! Rules for the whole network, and for whole residuals.

use super::catalogue::product;
use super::error::{ErrorRule, Problem, format_shape};
use super::{Block, MAX_BLOCKS, MAX_NESTING};

pub(super) fn check_list(blocks: &[Block]) -> Option<Problem> {
    if blocks.is_empty() {
        let message = "The list has no blocks; the smallest network is Flatten followed by Linear.";
        return Some(Problem::new(ErrorRule::Empty, message));
    }
    let count = count(blocks);
    (count > MAX_BLOCKS).then(|| {
        let message =
            format!("The network has {count} blocks, including those inside residuals; the limit is {MAX_BLOCKS}.");
        let problem = Problem::new(ErrorRule::TooLarge, message);
        problem.expected(format!("at most {MAX_BLOCKS}")).actual(count)
    })
}

/// Counts the blocks of a list and of all lists inside it. Not recursive, because the depth has not been checked yet.
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

pub(super) fn check_input(shape: &[usize]) -> Option<Problem> {
    shape.contains(&0).then(|| {
        let shape = format_shape(shape);
        let message = format!("The images are {shape}, so they have no pixels.");
        Problem::new(ErrorRule::OutOfRange, message).actual(shape)
    })
}

pub(super) fn check_output(shape: &[usize], classes: usize) -> Option<Problem> {
    if shape == [classes] {
        return None;
    }
    let end = match shape {
        [_] => format!("set out_features of the last Linear to {classes}"),
        _ if product(shape) == classes as u64 => "end it with Flatten".to_owned(),
        _ => format!("end it with Flatten and a Linear of out_features {classes}"),
    };
    let output = match shape {
        [1] => "1 score".to_owned(),
        [count] => format!("{count} scores"),
        _ => format!("values of shape {}", format_shape(shape)),
    };
    let shape = format_shape(shape);
    let message = format!("The network outputs {output}, but the data set has {classes} classes: {end}.");
    let problem = Problem::new(ErrorRule::WrongOutput, message);
    Some(problem.expected(classes).actual(shape))
}

pub(super) fn nested_too_deep() -> Problem {
    let message = format!("Residuals are nested more than {MAX_NESTING} deep: flatten the network.");
    let problem = Problem::new(ErrorRule::TooLarge, message);
    problem
        .expected(format!("at most {MAX_NESTING} deep"))
        .actual(MAX_NESTING + 1)
}

pub(super) fn missing_main(is_given: bool) -> Problem {
    let rule = if is_given {
        ErrorRule::Empty
    } else {
        ErrorRule::MissingParameter
    };
    let message = "Residual needs `main`, a list of at least one block, next to `kind`.";
    Problem::new(rule, message)
        .for_parameter("main")
        .expected("a list of at least one block")
}

pub(super) fn branches_differ(main: &[usize], shortcut: &[usize], is_identity: bool) -> Problem {
    let [main, shortcut] = [main, shortcut].map(format_shape);
    let what = if is_identity {
        "the input, which is added to it,"
    } else {
        "the output of `shortcut`"
    };
    let message = format!(
        "`main` outputs {main}, but {what} is {shortcut}: make the shapes equal, for instance with a Conv2d of \
         kernel_size 1 in `shortcut` that has the output channels and the stride of `main`."
    );
    let problem = Problem::new(ErrorRule::ShapeMismatch, message).for_parameter("shortcut");
    problem.expected(main).actual(shortcut)
}

/// Reports the block that brings a total over its limit, and none of the blocks after it.
pub(super) fn check_limit(what: &str, before: u64, after: u64, limit: u64) -> Option<Problem> {
    (before <= limit && after > limit).then(|| {
        let message = format!(
            "This block brings the network to {after} {what}; the limit is {limit}. Use fewer channels or \
             features, or reduce the size of the image first."
        );
        Problem::new(ErrorRule::TooLarge, message)
            .expected(format!("at most {limit}"))
            .actual(after)
    })
}
