//! How much of the machine an attempt of a job may take.

use super::JobRunner;
use scv_domain::id::JobId;

/// The share of the activations' memory that a job gets whose earlier attempt ended with its process: one part of this many.
const CAREFUL_SHARE: u64 = 4;

/// How an attempt of a job is made. In either case it is the only one of its server, because a worker runs one job at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// With all that jobs may take.
    Usual,
    /// With less: an earlier attempt ended together with its process, perhaps because it took too much memory.
    Careful,
}

impl Care {
    /// The care for a job of which some attempts ended with their process.
    pub(super) fn after(job: JobId, lost_attempts: i32) -> Self {
        if lost_attempts == 0 {
            return Self::Usual;
        }
        tracing::warn!(%job, "the server ended while it ran this job: it is tried once more, with less memory");
        Self::Careful
    }
}

impl JobRunner {
    /// The same runner for an attempt that is made with care. All that "less" means is here.
    pub(super) fn with_care(&self, care: Care) -> Self {
        let mut runner = self.clone();
        if care == Care::Careful {
            runner.library.activation_limit /= CAREFUL_SHARE;
        }
        runner
    }
}
