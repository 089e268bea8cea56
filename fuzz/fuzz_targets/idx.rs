//! Data sets as IDX files: the first byte says where the labels begin.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scv_domain::dataset::DatasetName;
use scv_dataset::{DatasetSource, IdxFiles, IdxImport};

fuzz_target!(|data: &[u8]| {
    let Some((&place, rest)) = data.split_first() else {
        return;
    };
    let (labels, images) = rest.split_at(rest.len().min(place.into()));
    let Ok(name) = DatasetName::try_from("chance".to_owned()) else {
        return;
    };
    let import = IdxImport {
        name,
        class_names: None,
        first_label: u16::from(place % 2),
        transposed: place % 4 > 1,
        statistics: None,
        files: IdxFiles {
            train_images: images.to_vec().into(),
            train_labels: labels.to_vec().into(),
            test_images: images.to_vec().into(),
            test_labels: labels.to_vec().into(),
        },
    };
    let _ = DatasetSource::Idx(Box::new(import)).read();
});
