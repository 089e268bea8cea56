//! How much each of many takes of what all of them share.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// What several take parts of, none more than so many.
#[derive(Debug, Clone)]
pub struct Shares<Who> {
    most: u32,
    taken: Arc<Mutex<HashMap<Who, u32>>>,
}

/// A part of somebody, who has it until it is dropped.
#[derive(Debug)]
pub struct Share<Who: Copy + Eq + Hash> {
    who: Who,
    taken: Arc<Mutex<HashMap<Who, u32>>>,
}

impl<Who: Copy + Eq + Hash> Shares<Who> {
    /// So many for each.
    pub fn of(most: u32) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more for somebody; none if they have as many as they may.
    pub fn take(&self, who: Who) -> Option<Share<Who>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_theirs = taken.get(&who).copied().unwrap_or_default();
        if of_theirs >= self.most {
            return None;
        }
        taken.insert(who, of_theirs + 1);
        Some(Share {
            who,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl<Who: Copy + Eq + Hash> Drop for Share<Who> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has nothing is forgotten, or there would be ever more of them.
        match taken.get_mut(&self.who) {
            Some(of_theirs) if *of_theirs > 1 => *of_theirs -= 1,
            _ => _ = taken.remove(&self.who),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn nobody_takes_what_is_meant_for_others_and_what_is_given_back_can_be_taken_again() {
        let shares = Shares::of(2);
        let first = shares.take("a").unwrap();
        let _second = shares.take("a").unwrap();
        assert!(shares.take("a").is_none());
        let of_another = shares.take("b");
        assert!(of_another.is_some());
        drop(first);
        assert!(shares.take("a").is_some(), "one is free");
        drop(of_another);
        let known: Vec<_> = shares.taken.lock().unwrap().keys().copied().collect();
        assert_eq!(known, ["a"], "whoever has nothing is forgotten");
    }
}
