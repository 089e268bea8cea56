//! The order of layers of equal shapes, as far as the numbers in their names tell it.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::keys::telling;
use super::layers::Layer;

/// Why the names of layers do not tell their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unordered {
    /// They differ in more than numbers, or in numbers that are equal.
    Names,
    /// The file has them in another order, although its keys are not sorted.
    File,
    /// The same numbers would have other layers run in another order.
    Network,
}

/// The names of the layers of a file, for all of which numbers mean the same.
pub(super) struct Names<'a> {
    layers: &'a [Layer],
    /// For each layer, its name in pieces.
    pieces: Vec<Vec<Piece>>,
    /// Whether the order of the layers in the file may say something.
    is_ordered: bool,
}

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Piece {
    Text(String),
    /// The digits without leading zeros.
    Number(String),
}

impl<'a> Names<'a> {
    pub(super) fn new(layers: &'a [Layer], classes: &[Vec<usize>], is_ordered: bool) -> Self {
        let paths = || layers.iter().map(|layer| layer.path.as_str());
        let whole = paths().map(str::to_owned).collect::<Vec<_>>();
        // A level that a wrapper adds to some layers only must not make them differ from the others.
        let short = telling(paths(), |level| {
            !level.trim_end_matches('.').bytes().all(|byte| byte.is_ascii_digit())
        });
        let mut names = Self {
            layers,
            pieces: whole.iter().map(|path| pieces(path)).collect(),
            is_ordered: is_ordered && !is_sorted(layers),
        };
        if !classes.iter().all(|class| names.differ_in_numbers(class)) {
            let pieces = short.iter().map(|path| pieces(path)).collect();
            names = Self { pieces, ..names };
        }
        names
    }

    /// The layers of a class in the order of the numbers in their names.
    pub(super) fn order(&self, class: &[usize]) -> Result<Vec<usize>, Unordered> {
        if !self.differ_in_numbers(class) {
            return Err(Unordered::Names);
        }
        let mut order = class.to_vec();
        order.sort_by(|&one, &other| self.compare(one, other));
        if order
            .windows(2)
            .any(|pair| self.compare(pair[0], pair[1]) == Ordering::Equal)
        {
            return Err(Unordered::Names);
        }
        let paths = class.iter().map(|&index| self.layers[index].path.as_str());
        if self.is_ordered && order != class && !paths.is_sorted() {
            return Err(Unordered::File);
        }
        Ok(order)
    }

    /// The layers whose names differ in numbers only, in their order, for all names.
    pub(super) fn families(&self) -> Vec<Vec<usize>> {
        let mut families: HashMap<Vec<Option<&str>>, Vec<usize>> = HashMap::new();
        for index in 0..self.layers.len() {
            families.entry(self.family(index)).or_default().push(index);
        }
        let mut families: Vec<Vec<usize>> = families.into_values().collect();
        for family in &mut families {
            family.sort_by(|&one, &other| self.compare(one, other));
        }
        families
    }

    fn differ_in_numbers(&self, class: &[usize]) -> bool {
        class
            .windows(2)
            .all(|pair| self.family(pair[0]) == self.family(pair[1]))
    }

    /// The pieces of a name, without its numbers.
    fn family(&self, index: usize) -> Vec<Option<&str>> {
        self.pieces[index].iter().map(Piece::text).collect()
    }

    /// By the first number that differs.
    fn compare(&self, one: usize, other: usize) -> Ordering {
        let numbers = |index: usize| self.pieces[index].iter().filter_map(Piece::number);
        numbers(one).cmp(numbers(other))
    }
}

impl Piece {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }

    /// The digits, comparable as a number.
    fn number(&self) -> Option<(usize, &str)> {
        match self {
            Self::Number(digits) => Some((digits.len(), digits)),
            Self::Text(_) => None,
        }
    }
}

/// Whether the layers are sorted by name, as text or by their numbers, so that their order tells nothing.
fn is_sorted(layers: &[Layer]) -> bool {
    layers.iter().map(|layer| layer.path.as_str()).is_sorted()
}

fn pieces(path: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for level in path.split('.') {
        let mut rest = level;
        while let Some(first) = rest.bytes().next() {
            let is_number = first.is_ascii_digit();
            let end = rest.find(|character: char| character.is_ascii_digit() != is_number);
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            pieces.push(match is_number {
                true => Piece::Number(piece.trim_start_matches('0').to_owned()),
                false => Piece::Text(piece.to_owned()),
            });
            rest = after;
        }
        pieces.push(Piece::Text(".".to_owned()));
    }
    pieces
}
