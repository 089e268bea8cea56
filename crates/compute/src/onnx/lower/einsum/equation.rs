//! The equations of Einsum, such as `bhqd,bhkd->bhqk`.

/// The name of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Label {
    /// One of those that `...` stands for, counted from the last one.
    Open(usize),
    /// A letter.
    Letter(char),
}

/// The dimensions of each input and of the output.
#[derive(Debug, PartialEq)]
pub(super) struct Equation {
    pub(super) inputs: Vec<Vec<Label>>,
    pub(super) output: Vec<Label>,
}

impl Equation {
    /// Reads an equation for inputs with these numbers of dimensions.
    ///
    /// # Errors
    /// It does not fit the inputs, or is not an equation.
    pub(super) fn parse(text: &str, ranks: &[usize]) -> Result<Self, String> {
        let wrong = |why: &str| format!("the equation {text:?} {why}");
        let plain: String = text.chars().filter(|symbol| !symbol.is_whitespace()).collect();
        let (inputs, output) = match plain.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (plain.as_str(), None),
        };
        let terms: Vec<Term<'_>> = inputs.split(',').map(Term::of).collect();
        if terms.len() != ranks.len() {
            return Err(wrong(&format!("has {} terms for {} inputs", terms.len(), ranks.len())));
        }
        let mut read = Vec::with_capacity(terms.len());
        for (term, &rank) in terms.iter().zip(ranks) {
            let open = rank
                .checked_sub(term.named())
                .filter(|&open| open == 0 || term.after.is_some());
            let open = open.ok_or_else(|| wrong(&format!("does not name all {rank} dimensions of an input")))?;
            read.push(
                term.labels(open)
                    .ok_or_else(|| wrong("has a name that is not a letter"))?,
            );
        }
        let labels = || read.iter().flatten().copied();
        let open = labels().filter(|label| matches!(label, Label::Open(_))).max();
        let open = open.map_or(0, |label| if let Label::Open(last) = label { last + 1 } else { 0 });
        let output = match output {
            Some(output) => Term::of(output)
                .labels(open)
                .ok_or_else(|| wrong("has a name that is not a letter"))?,
            None => {
                let is_single = |label: &Label| labels().filter(|other| other == label).count() == 1;
                let mut letters: Vec<Label> = labels()
                    .filter(|label| matches!(label, Label::Letter(_)) && is_single(label))
                    .collect();
                letters.sort_unstable();
                (0..open).rev().map(Label::Open).chain(letters).collect()
            }
        };
        let repeats = (0..output.len()).any(|index| output[..index].contains(&output[index]));
        if repeats || output.iter().any(|label| labels().all(|other| other != *label)) {
            return Err(wrong("has a dimension in its output that no input has, or twice"));
        }
        Ok(Self { inputs: read, output })
    }
}

/// The names of one value.
struct Term<'a> {
    before: &'a str,
    /// What follows the `...`, if there is one.
    after: Option<&'a str>,
}

impl<'a> Term<'a> {
    fn of(text: &'a str) -> Self {
        match text.split_once("...") {
            Some((before, after)) => Self {
                before,
                after: Some(after),
            },
            None => Self {
                before: text,
                after: None,
            },
        }
    }

    fn named(&self) -> usize {
        self.before.len() + self.after.map_or(0, str::len)
    }

    /// Its dimensions, `open` of them for the `...`. `None` if a name is not a letter.
    fn labels(&self, open: usize) -> Option<Vec<Label>> {
        let letters = |text: &str| -> Option<Vec<Label>> {
            let letter = |symbol: char| symbol.is_ascii_alphabetic().then_some(Label::Letter(symbol));
            text.chars().map(letter).collect()
        };
        let mut labels = letters(self.before)?;
        if let Some(after) = self.after {
            labels.extend((0..open).rev().map(Label::Open));
            labels.extend(letters(after)?);
        }
        Some(labels)
    }
}
