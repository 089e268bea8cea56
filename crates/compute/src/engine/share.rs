//! The share of requests in the time of the device while a job wants it too.

use std::time::Duration;

/// Time of earlier steps that requests may make up for at most: those that come after a long quiet do not get all of it back.
const MAX_CREDIT: Duration = Duration::from_secs(1);

/// How much time requests may take before the job goes on: as much as the job had, less what they took. A request is not
/// interrupted, so a long one takes time in advance, and the job then runs alone for as long.
#[derive(Debug, Default)]
pub(super) struct RequestShare {
    credit: Duration,
    debt: Duration,
}

impl RequestShare {
    /// A job had the device for some time.
    pub(super) fn job_ran(&mut self, time: Duration) {
        let repaid = self.debt.min(time);
        self.debt -= repaid;
        self.credit = (self.credit + (time - repaid)).min(time.max(MAX_CREDIT));
    }

    /// A request had it.
    pub(super) fn request_ran(&mut self, time: Duration) {
        let spent = self.credit.min(time);
        self.credit -= spent;
        self.debt += time - spent;
    }

    /// Whether a request may begin.
    pub(super) fn is_left(&self) -> bool {
        self.debt.is_zero() && !self.credit.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of a job and of requests if both always wait, with steps and requests of the given lengths, until the job has
    /// made so many steps.
    fn contest(step: Duration, request: Duration, steps: u32) -> (Duration, Duration) {
        let (mut share, mut of_job, mut of_requests) = (RequestShare::default(), Duration::ZERO, Duration::ZERO);
        for _ in 0..steps {
            share.job_ran(step);
            of_job += step;
            while share.is_left() {
                share.request_ran(request);
                of_requests += request;
            }
        }
        (of_job, of_requests)
    }

    #[test]
    fn a_job_and_requests_that_always_wait_get_half_of_the_time_each() {
        for (step, request) in [(1, 1), (10, 1), (1, 10), (1, 60_000), (60, 7), (7, 60), (10_000, 100)] {
            let [step, request] = [step, request].map(Duration::from_millis);
            let (of_job, of_requests) = contest(step, request, 200_000);
            // Up to one step or request at the end.
            let margin = step.max(request);
            assert!(
                of_job + margin >= of_requests,
                "{step:?} and {request:?}: {of_job:?}, {of_requests:?}"
            );
            assert!(
                of_requests + margin >= of_job,
                "{step:?} and {request:?}: {of_job:?}, {of_requests:?}"
            );
        }
    }

    #[test]
    fn requests_make_up_for_little_of_the_time_in_which_there_were_none() {
        let mut share = RequestShare::default();
        (0..3_600).for_each(|_| share.job_ran(Duration::from_millis(500)));
        let mut begun = 0;
        while share.is_left() {
            share.request_ran(Duration::from_millis(100));
            begun += 1;
        }
        assert_eq!(begun, 10);
    }

    #[test]
    fn a_request_is_not_kept_waiting_by_the_first_step_of_a_job() {
        let mut share = RequestShare::default();
        assert!(!share.is_left(), "the job has had nothing yet");
        share.job_ran(Duration::from_nanos(1));
        assert!(share.is_left());
    }
}
