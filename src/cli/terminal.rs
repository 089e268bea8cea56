//! The one place that speaks: answers to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::fmt::MakeWriter;

/// Steps of a whole bar.
const STEPS: u64 = 1_000;

/// What a command says, and in which form.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    json: bool,
    bars: MultiProgress,
}

impl Terminal {
    /// Bars are drawn on standard error where that is a terminal, and never beside JSON.
    pub(super) fn new(json: bool) -> Self {
        let bars = MultiProgress::new();
        if json {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { json, bars }
    }

    /// Whether programs read the answer.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Gives the answer: the document for programs, or the text for people.
    pub(super) fn answer(&self, document: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
        let answer = match self.json {
            true => serde_json::to_string_pretty(document)?,
            false => text.to_string(),
        };
        let written = self.bars.suspend(|| writeln!(io::stdout().lock(), "{answer}"));
        match written {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Says something by the way, to people only.
    pub(super) fn note(&self, text: impl Display) {
        if !self.json {
            self.bars.suspend(|| {
                // Nobody is left to be told that standard error is closed.
                let _ = writeln!(io::stderr().lock(), "{text}");
            });
        }
    }

    /// A bar for the work on something named.
    pub(super) fn bar(&self, name: &str) -> Bar {
        let style =
            ProgressStyle::with_template("{prefix}  {bar:24}  {wide_msg}").expect("the template is well formed");
        let bar = self.bars.add(ProgressBar::new(STEPS).with_style(style));
        bar.set_prefix(name.to_owned());
        Bar {
            bar,
            terminal: self.clone(),
        }
    }

    /// A sign that something of unknown length goes on.
    pub(super) fn spinner(&self, what: &'static str) -> Bar {
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is well formed");
        let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
        bar.set_message(what);
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Bar {
            bar,
            terminal: self.clone(),
        }
    }
}

/// A bar on the terminal; it disappears when dropped.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    terminal: Terminal,
}

impl Bar {
    /// Shows how far the work is, from 0 to 1, and what is being done.
    pub(super) fn show(&self, progress: f64, message: String) {
        self.bar.set_position((progress * STEPS as f64) as u64);
        self.bar.set_message(message);
    }

    /// Leaves a line in the place of the bar.
    pub(super) fn finish(self, line: impl Display) {
        self.bar.finish_and_clear();
        self.terminal.note(line);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.terminal.bars.remove(&self.bar);
    }
}

/// Log lines go above the bars and do not tear them.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.bars)
    }
}

/// Where one log line is written to.
pub(super) struct LogLine<'a>(&'a MultiProgress);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
