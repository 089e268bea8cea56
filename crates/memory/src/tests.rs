#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

const MIB: u64 = 1 << 20;

#[test]
fn bytes_are_given_back_when_their_data_is_dropped() {
    let [requests, _] = MemoryBudget::shared(4 * MIB);
    let held = requests.try_reserve(3 * MIB).unwrap();
    assert_eq!(requests.try_reserve(MIB).unwrap_err(), MemoryError::Busy { bytes: MIB });
    assert_eq!(requests.reserved(), 3 * MIB);
    drop(held);
    assert_eq!(requests.reserved(), 0);
    assert_eq!(requests.try_reserve(3 * MIB).unwrap().bytes(), 3 * MIB);
}

#[test]
fn neither_requests_nor_jobs_can_take_everything() {
    let [requests, jobs] = MemoryBudget::shared(4 * MIB);
    let _training = jobs.try_reserve(3 * MIB).unwrap();
    assert_eq!(jobs.try_reserve(MIB).unwrap_err(), MemoryError::Busy { bytes: MIB });
    let _answer = requests.try_reserve(MIB).unwrap();
    assert_eq!(requests.try_reserve(1).unwrap_err(), MemoryError::Busy { bytes: 1 });
}

#[test]
fn what_can_never_be_granted_is_told_with_both_sizes() {
    let [requests, _] = MemoryBudget::shared(4 * MIB);
    let error = requests.try_reserve(3 * MIB + 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it needs 4 MiB of memory, and the server allows 3 MiB: make it smaller, or start the server with more (--memory)"
    );
    let held = requests.try_reserve(2 * MIB).unwrap();
    let error = held.grow(2 * MIB).unwrap_err();
    assert_eq!(
        error,
        MemoryError::TooLarge {
            bytes: 4 * MIB,
            limit: 3 * MIB
        }
    );
}

#[test]
fn all_bytes_within_the_limit_can_be_granted() {
    let [requests, _] = MemoryBudget::shared(4 * MIB + UNIT / 2);
    let limit = requests.limit();
    assert_eq!(requests.try_reserve(limit).unwrap().bytes(), limit);
    let too_large = MemoryError::TooLarge {
        bytes: limit + 1,
        limit,
    };
    assert_eq!(requests.try_reserve(limit + 1).unwrap_err(), too_large);
}

#[test]
fn a_reservation_grows_and_shrinks_with_its_data() {
    let [requests, _] = MemoryBudget::shared(4 * MIB);
    let held = requests.try_reserve(0).unwrap();
    held.grow(2 * MIB).unwrap();
    held.grow(1).unwrap();
    assert_eq!(held.bytes(), 2 * MIB + UNIT);
    held.shrink_to(MIB);
    assert_eq!(held.bytes(), MIB);
    held.shrink_to(5 * MIB);
    assert_eq!(held.bytes(), MIB);
    assert_eq!(requests.try_reserve(2 * MIB).unwrap().bytes(), 2 * MIB);
}

#[tokio::test(start_paused = true)]
async fn a_reservation_waits_for_others_to_end_and_is_refused_in_the_end() {
    let [requests, jobs] = MemoryBudget::shared(4 * MIB);
    let held = jobs.try_reserve(2 * MIB).unwrap();
    let waiting = tokio::spawn({
        let requests = requests.clone();
        async move { requests.reserve(3 * MIB).await.map(|held| held.bytes()) }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert_eq!(waiting.await.unwrap(), Ok(3 * MIB));

    let _held = jobs.try_reserve(2 * MIB).unwrap();
    let refused = requests.reserve(3 * MIB).await.unwrap_err();
    assert_eq!(refused, MemoryError::Busy { bytes: 3 * MIB });
    // Nothing is lost to the one that gave up.
    assert_eq!(requests.reserve(2 * MIB).await.unwrap().bytes(), 2 * MIB);
}
