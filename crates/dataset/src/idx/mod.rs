//! IDX, the file format of MNIST and similar data sets, raw or gzipped.
//!
//! A file has two zero bytes, a byte for the element type (8 for unsigned bytes), a byte for the
//! number of dimensions, each dimension as a big-endian u32, then the elements in row-major order.

use bytes::Bytes;

use scv_domain::dataset::{
    DatasetDraft, DatasetError, MAX_PIXEL_BYTES, NewDataset, Split, check_class_names, check_statistics,
};
use scv_domain::dataset_source::IdxImport;
use scv_domain::image::LabelledImages;

use super::ImportError;

mod error;
mod file;
#[cfg(test)]
mod tests;

pub use error::{IdxContent, IdxError, IdxFile};

/// Checks the headers of the files, and the description as far as it does not depend on their content. Returns the bytes of memory
/// that the files take when they are read.
pub(super) fn check(import: &IdxImport<Bytes>) -> Result<u64, ImportError> {
    let files = &import.files;
    file::check_labels(IdxFile::labels(Split::Train), &files.train_labels)?;
    file::check_labels(IdxFile::labels(Split::Test), &files.test_labels)?;
    let (shape, train) = file::check_images(IdxFile::images(Split::Train), &files.train_images)?;
    let (_, test) = file::check_images(IdxFile::images(Split::Test), &files.test_images)?;
    let bytes = train + test;
    if bytes > MAX_PIXEL_BYTES {
        return Err(DatasetError::TooManyPixels { bytes }.into());
    }
    if let Some(names) = &import.class_names {
        check_class_names(names)?;
    }
    if let Some(statistics) = &import.statistics {
        check_statistics(statistics, shape.channels)?;
    }
    // A split is there twice while it is transposed.
    let copied = if import.transposed { train.max(test) } else { 0 };
    Ok(bytes + copied)
}

/// Reads the files and checks each of them and all together, in three parts.
pub(super) fn read<E: From<ImportError>>(
    import: IdxImport<Bytes>,
    step: impl Fn(f64) -> Result<(), E>,
) -> Result<NewDataset, E> {
    step(0.0)?;
    let (first_label, allow_empty_classes) = (import.first_label, import.allow_empty_classes);
    // Labels come first, because they are small: swapped files are detected before anything large is read.
    let Labels {
        class_names,
        train: train_labels,
        test: test_labels,
    } = labels(&import)?;
    // Each file is dropped as soon as it has been read, because it may take gigabytes.
    let images = |split, bytes: Bytes| {
        file::images(IdxFile::images(split), &bytes, import.transposed).map_err(ImportError::from)
    };
    let train = LabelledImages {
        images: images(Split::Train, import.files.train_images)?,
        labels: train_labels.into(),
    };
    step(1.0 / 3.0)?;
    let test = LabelledImages {
        images: images(Split::Test, import.files.test_images)?,
        labels: test_labels.into(),
    };
    step(2.0 / 3.0)?;
    let draft = DatasetDraft {
        name: import.name,
        class_names,
        statistics: import.statistics,
        train,
        test,
    };
    let dataset = NewDataset::check(draft).map_err(ImportError::from)?;
    if !allow_empty_classes {
        check_classes(&dataset, first_label).map_err(ImportError::from)?;
    }
    Ok(dataset)
}

/// The class names, and the class index of each image of both splits.
struct Labels {
    class_names: Vec<String>,
    train: Vec<u16>,
    test: Vec<u16>,
}

fn labels(import: &IdxImport<Bytes>) -> Result<Labels, ImportError> {
    let train = file::labels(IdxFile::labels(Split::Train), &import.files.train_labels)?;
    let test = file::labels(IdxFile::labels(Split::Test), &import.files.test_labels)?;
    let class_names = import.class_names.clone().unwrap_or_else(|| {
        let labels = train.iter().chain(&test);
        let last = labels.map(|&label| u16::from(label)).max().unwrap_or(0);
        // At least one class, so that labels below the first label are reported as out of range.
        (import.first_label..=last.max(import.first_label))
            .map(|label| label.to_string())
            .collect()
    });
    let classes = file::Classes {
        first_label: import.first_label,
        count: class_names.len(),
    };
    Ok(Labels {
        train: classes.indices(IdxFile::labels(Split::Train), &train)?,
        test: classes.indices(IdxFile::labels(Split::Test), &test)?,
        class_names,
    })
}

/// Checks that each class has train images. A class without them is a mistake more often than not.
fn check_classes(dataset: &NewDataset, first_label: u16) -> Result<(), IdxError> {
    let [train, test] = Split::ALL.map(|split| &dataset.split(split).labels);
    if let Some(&skipped @ 1..) = train.iter().chain(test.iter()).min() {
        return Err(IdxError::FirstLabel {
            lowest: first_label + skipped,
            first_label,
        });
    }
    let mut counts = vec![0_usize; dataset.class_names().len()];
    for &class in train.iter() {
        counts[usize::from(class)] += 1;
    }
    let empty = dataset
        .class_names()
        .iter()
        .zip(counts)
        .filter(|&(_, count)| count == 0);
    let classes: Vec<String> = empty.map(|(name, _)| name.clone()).collect();
    if classes.is_empty() {
        Ok(())
    } else {
        Err(IdxError::EmptyClasses { classes })
    }
}
