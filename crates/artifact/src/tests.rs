#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;
use scv_dataset::digits;
use scv_domain::dataset::Split;
use scv_domain::image::ImageShape;

fn store() -> (TempDir, ArtifactStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(&directory.path().join("artifacts")).unwrap();
    (directory, store)
}

fn file_of(directory: &TempDir, key: &ArtifactKey) -> std::path::PathBuf {
    directory.path().join("artifacts").join(key.to_string())
}

#[tokio::test]
async fn a_stored_object_can_be_read() {
    let (_directory, store) = store();
    let key = store.put(ArtifactKind::Weights, b"weights".to_vec()).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap(), b"weights"[..]);
}

#[tokio::test]
async fn a_reopened_store_has_the_stored_objects() {
    let (directory, store) = store();
    let key = store.put(ArtifactKind::Weights, b"weights".to_vec()).await.unwrap();
    drop(store);
    let again = ArtifactStore::open(&directory.path().join("artifacts")).unwrap();
    assert_eq!(again.get(&key).await.unwrap(), b"weights"[..]);
}

#[tokio::test]
async fn only_the_owner_may_enter_the_directory() {
    let (directory, _store) = store();
    let artifacts = directory.path().join("artifacts");
    let mode = || fs::metadata(&artifacts).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o700);
    // One that was made by an earlier version.
    fs::set_permissions(&artifacts, fs::Permissions::from_mode(0o755)).unwrap();
    ArtifactStore::open(&artifacts).unwrap();
    assert_eq!(mode(), 0o700);
}

#[tokio::test]
async fn the_same_bytes_are_written_once() {
    let (directory, store) = store();
    let key = store.put(ArtifactKind::Images, vec![7; 100]).await.unwrap();
    let file = file_of(&directory, &key);
    let mut read_only = fs::metadata(&file).unwrap().permissions();
    read_only.set_readonly(true);
    fs::set_permissions(&file, read_only).unwrap();
    assert_eq!(store.put(ArtifactKind::Images, vec![7; 100]).await.unwrap(), key);
    // A second write would have replaced it with a new, writable file.
    assert!(fs::metadata(&file).unwrap().permissions().readonly());
}

#[tokio::test]
async fn writers_of_the_same_bytes_do_not_disturb_each_other() {
    let (directory, store) = store();
    let writes = (0..8).map(|_| store.put(ArtifactKind::Images, vec![7; 1 << 20]));
    let keys = futures::future::try_join_all(writes).await.unwrap();
    assert!(keys.iter().all(|key| *key == keys[0]));
    assert_eq!(store.get(&keys[0]).await.unwrap().len(), 1 << 20);
    let folder = file_of(&directory, &keys[0]);
    assert_eq!(fs::read_dir(folder.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_missing_object_is_an_error_that_names_it() {
    let (_directory, store) = store();
    let key = ArtifactKey::of(ArtifactKind::Labels, b"never stored");
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Missing { .. }));
    assert!(error.to_string().contains(&key.to_string()), "{error}");
}

#[tokio::test]
async fn a_changed_byte_is_detected_on_reading() {
    let (directory, store) = store();
    let key = store.put(ArtifactKind::Weights, vec![1; 50]).await.unwrap();
    let mut damaged = vec![1; 50];
    damaged[30] = 2;
    fs::write(file_of(&directory, &key), damaged).unwrap();
    let error = store.get(&key).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Corrupt { length: 50, .. }), "{error}");
}

#[tokio::test]
async fn storing_again_repairs_a_truncated_object() {
    let (directory, store) = store();
    let key = store.put(ArtifactKind::Weights, vec![1; 50]).await.unwrap();
    fs::write(file_of(&directory, &key), [1; 20]).unwrap();
    store.put(ArtifactKind::Weights, vec![1; 50]).await.unwrap();
    assert_eq!(store.get(&key).await.unwrap().len(), 50);
}

#[tokio::test]
async fn a_failed_write_is_an_error_and_leaves_nothing() {
    let (directory, store) = store();
    // A file where the folder of weights should be.
    fs::write(directory.path().join("artifacts/weights"), b"").unwrap();
    let error = store.put(ArtifactKind::Weights, b"weights".to_vec()).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Store { .. }), "{error}");
    assert!(error.to_string().contains("weights/"), "{error}");
}

#[tokio::test]
async fn the_oldest_objects_of_a_kind_are_deleted_first_and_kept_and_new_ones_stay() {
    let (directory, store) = store();
    let mut keys = Vec::new();
    for minute in 0..5 {
        let key = store.put(ArtifactKind::Pictures, vec![minute; 100]).await.unwrap();
        let file = fs::File::options().write(true).open(file_of(&directory, &key)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(60 * u64::from(minute)))
            .unwrap();
        keys.push(key);
    }
    keys.push(store.put(ArtifactKind::Pictures, vec![5; 100]).await.unwrap());
    let weights = store.put(ArtifactKind::Weights, vec![9; 1_000]).await.unwrap();
    let kept = HashSet::from([keys[1]]);
    let hour = Duration::from_secs(3_600);
    for (limit, left) in [
        (600, [true, true, true, true, true, true]),
        (400, [false, true, false, true, true, true]),
        (0, [false, true, false, false, false, true]),
    ] {
        store.trim(ArtifactKind::Pictures, limit, &kept, hour).await.unwrap();
        let exists = keys.iter().map(|key| file_of(&directory, key).exists());
        assert_eq!(exists.collect::<Vec<_>>(), left, "within {limit} bytes");
    }
    assert!(store.get(&weights).await.is_ok(), "another kind is not touched");
}

#[tokio::test]
async fn an_object_can_be_deleted_twice() {
    let (_directory, store) = store();
    let key = store.put(ArtifactKind::Imports, vec![1; 10]).await.unwrap();
    for _ in 0..2 {
        store.delete(&key).await.unwrap();
        assert!(matches!(store.get(&key).await, Err(ArtifactError::Missing { .. })));
    }
}

#[test]
fn a_file_cannot_be_opened_as_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = ArtifactStore::open(&file).unwrap_err().to_string();
    assert!(error.contains("file cannot be used"), "{error}");
}

#[tokio::test]
async fn the_error_of_the_system_appears_once_in_an_error_with_all_of_its_sources() {
    let (directory, store) = store();
    let file = directory.path().join("artifacts/weights");
    fs::write(&file, b"").unwrap();
    let unwritten = store.put(ArtifactKind::Weights, b"weights".to_vec()).await.unwrap_err();
    let unopened = ArtifactStore::open(&file).unwrap_err();
    for error in [unwritten, unopened] {
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(source) = next {
            text.push_str(&format!(": {source}"));
            next = source.source();
        }
        assert_eq!(text.matches("(os error").count(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_split_is_read_back_unchanged() {
    let (_directory, store) = store();
    let digits = digits();
    let split = digits.split(Split::Test);
    let keys = store.put_split(split).await.unwrap();
    assert_eq!(&store.get_split(&keys, digits.shape()).await.unwrap(), split);
    assert_eq!(store.get(&keys.images).await.unwrap(), split.images.pixels[..]);
    assert_eq!(
        store.get(&keys.labels).await.unwrap()[..4],
        [split.labels[0] as u8, 0, split.labels[1] as u8, 0]
    );
}

#[tokio::test]
async fn a_split_read_with_another_shape_is_an_error() {
    let (_directory, store) = store();
    let keys = store.put_split(digits().split(Split::Test)).await.unwrap();
    let shape = |height, width| ImageShape {
        channels: 1,
        height,
        width,
    };
    for wrong in [shape(7, 7), shape(4, 4), shape(0, 8)] {
        let error = store.get_split(&keys, wrong).await.unwrap_err();
        assert!(matches!(error, ArtifactError::NotASplit { .. }), "{error}");
    }
}
