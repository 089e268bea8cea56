//! The one place that writes to the terminal: results to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, BufRead as _, ErrorKind, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::task::JoinHandle;
use tracing_subscriber::fmt::MakeWriter;

use super::exit::{self, code};

/// Steps of a whole bar.
const STEPS: u64 = 1_000;

/// The time between two lines about progress if no bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Work that takes less time than this is not reported if no bar can be drawn.
const QUIET_TIME: Duration = Duration::from_secs(2);

/// Share of the work that has to be done before its remaining time is estimated.
const MIN_PROGRESS_FOR_ESTIMATE: f64 = 0.05;

/// Where and in which form a command reports.
#[derive(Debug, Clone)]
pub(super) struct Terminal {
    json: bool,
    /// Whether progress is reported as lines, because standard error is not a terminal.
    has_lines: bool,
    bars: MultiProgress,
    /// The message for a user who interrupts the command.
    background: Arc<Mutex<Option<String>>>,
}

impl Terminal {
    /// Progress is drawn as bars if standard error is a terminal, and otherwise written as lines. With JSON it is not shown.
    pub(super) fn new(json: bool) -> Self {
        let bars = MultiProgress::new();
        if json {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self {
            json,
            has_lines: !json && !io::stderr().is_terminal(),
            bars,
            background: Arc::default(),
        }
    }

    /// Whether the result is a JSON document.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the result of a command: with `--json` the document, otherwise the text.
    pub(super) fn print(&self, document: &impl Serialize, text: impl Display) -> anyhow::Result<()> {
        let result = if self.json {
            serde_json::to_string_pretty(document)?
        } else {
            text.to_string()
        };
        self.print_raw(format!("{result}\n").as_bytes())
    }

    /// Writes bytes to standard output. It is not an error if the reader, such as `head`, stops reading.
    pub(super) fn print_raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.bars.suspend(|| {
            let mut output = io::stdout().lock();
            output.write_all(bytes).and_then(|()| output.flush())
        });
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }

    /// Writes a note to standard error; with JSON it writes nothing.
    pub(super) fn note(&self, text: impl Display) {
        if !self.json {
            self.bars.suspend(|| {
                // If standard error is closed, there is nowhere to report it.
                let _ = writeln!(io::stderr().lock(), "{text}");
            });
        }
    }

    /// Asks the user to confirm a deletion; `target` says what is deleted.
    ///
    /// # Errors
    /// The user declines, or cannot be asked.
    pub(super) fn confirm_deletion(&self, target: &str) -> anyhow::Result<()> {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        if self.json || !is_terminal {
            let reason = if is_terminal {
                "with --json"
            } else {
                "without a terminal"
            };
            return Err(exit::failure(
                code::USAGE,
                format!("deleting {target} needs the option --yes, because scv cannot ask for confirmation {reason}"),
            ));
        }
        let mut reply = String::new();
        self.bars.suspend(|| {
            write!(io::stderr().lock(), "Delete {target}? [y/N] ")?;
            io::stdin().lock().read_line(&mut reply)
        })?;
        if matches!(reply.trim().to_lowercase().as_str(), "y" | "yes") {
            return Ok(());
        }
        Err(anyhow::anyhow!("not confirmed: nothing was deleted"))
    }

    /// Sets the message for a user who interrupts the command: what continues on the server.
    pub(super) fn set_background(&self, hint: Option<String>) {
        *self.background.lock().unwrap_or_else(PoisonError::into_inner) = hint;
    }

    /// The error of an interrupted command.
    pub(super) fn interrupted(&self) -> anyhow::Error {
        let hint = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        exit::failure(code::INTERRUPTED, hint.unwrap_or_else(|| "interrupted".to_owned()))
    }

    /// A progress bar.
    pub(super) fn bar(&self, name: &str) -> Bar {
        let style = ProgressStyle::with_template("{prefix}  {bar:12} {percent:>3}%  {wide_msg}")
            .expect("the template is well formed");
        let bar = self.bars.add(ProgressBar::new(STEPS).with_style(style));
        bar.set_prefix(name.to_owned());
        Bar {
            bar,
            name: name.to_owned(),
            last_line: Mutex::new(Instant::now()),
            work_start: OnceLock::new(),
            heartbeat: None,
            terminal: self.clone(),
        }
    }

    /// A spinner for work of unknown length. Must be called on a runtime.
    pub(super) fn spinner(&self, work: &'static str) -> Bar {
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is well formed");
        let bar = self.bars.add(ProgressBar::new_spinner().with_style(style));
        bar.set_message(work);
        bar.enable_steady_tick(Duration::from_millis(100));
        Bar {
            bar,
            name: work.to_owned(),
            last_line: Mutex::new(Instant::now()),
            work_start: OnceLock::new(),
            heartbeat: self.has_lines.then(|| tokio::spawn(heartbeat(self.clone(), work))),
            terminal: self.clone(),
        }
    }
}

/// Writes a line about work that takes long, and repeats it at intervals.
async fn heartbeat(terminal: Terminal, work: &'static str) {
    let start = Instant::now();
    tokio::time::sleep(QUIET_TIME).await;
    terminal.note(format!("{work} …"));
    loop {
        tokio::time::sleep(LINE_INTERVAL).await;
        terminal.note(format!("{work} … ({} s)", start.elapsed().as_secs()));
    }
}

/// Progress on the terminal; it disappears when dropped.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    name: String,
    last_line: Mutex<Instant>,
    /// When the first progress was seen, and how much was done then.
    work_start: OnceLock<(Instant, f64)>,
    heartbeat: Option<JoinHandle<()>>,
    terminal: Terminal,
}

impl Bar {
    /// Shows how much is done, from 0 to 1, what is being done, and how long the rest will take once that can be told.
    pub(super) fn show(&self, progress: f64, mut message: String) {
        if progress > 0.0 {
            let (start, done_before) = *self.work_start.get_or_init(|| (Instant::now(), progress));
            if let Some(remaining) = remaining(start.elapsed(), done_before, progress) {
                message = format!("{message}, {} left", HumanDuration(remaining));
            }
        }
        if self.terminal.has_lines {
            self.show_line(progress, &message);
        }
        self.bar.set_position((progress * STEPS as f64) as u64);
        self.bar.set_message(message);
    }

    fn show_line(&self, progress: f64, message: &str) {
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_INTERVAL {
            *last = Instant::now();
            self.terminal
                .note(format!("{}: {:.0}%, {message}", self.name, progress * 100.0));
        }
    }

    /// Replaces the bar by a line.
    pub(super) fn finish(self, line: impl Display) {
        self.bar.finish_and_clear();
        self.terminal.note(line);
    }
}

/// How long the rest of some work takes at its rate so far. `elapsed` is the time since `done_before` was done.
fn remaining(elapsed: Duration, done_before: f64, progress: f64) -> Option<Duration> {
    let done = progress - done_before;
    let is_known = done >= MIN_PROGRESS_FOR_ESTIMATE && progress < 1.0;
    is_known.then(|| elapsed.mul_f64((1.0 - progress) / done))
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.abort();
        }
        self.bar.finish_and_clear();
        self.terminal.bars.remove(&self.bar);
    }
}

/// Log lines are written above the bars.
impl<'a> MakeWriter<'a> for Terminal {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.bars)
    }
}

/// The writer of one log line.
pub(super) struct LogLine<'a>(&'a MultiProgress);

impl Write for LogLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_follows_from_the_rate_since_the_first_progress() {
        let seconds = Duration::from_secs;
        assert_eq!(remaining(seconds(10), 0.0, 0.5), Some(seconds(10)));
        assert_eq!(remaining(seconds(10), 0.25, 0.5), Some(seconds(20)));
        assert_eq!(remaining(seconds(10), 0.25, 0.29), None, "too little is done to tell");
        assert_eq!(remaining(seconds(10), 0.0, 1.0), None, "nothing is left");
    }
}
