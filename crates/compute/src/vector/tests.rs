#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde::Deserialize;

use super::reference::{Activations, cka, debiased_cka, product, u_centred};
use super::*;
use crate::device::{DeviceChoice, open};

/// How closely every pair must agree with the definition, from single-precision activations.
const TOLERANCE: f64 = 1e-5;

fn vector_of(activations: &Activations) -> LayerVector {
    layer_vector(&CentredGram::of(&activations.tensor()).unwrap()).unwrap()
}

/// A centred Gram matrix and its coordinates, in double precision throughout.
fn exact(activations: &Activations) -> (Vec<f64>, Coordinates) {
    let gram = activations.centred_gram();
    let coordinates = Coordinates::of(&gram, activations.images);
    (gram, coordinates)
}

#[derive(Deserialize)]
struct Golden {
    n: usize,
    layers: std::collections::BTreeMap<String, GoldenLayer>,
    pairs: Vec<GoldenPair>,
}

#[derive(Deserialize)]
struct GoldenLayer {
    features: usize,
    activations: Vec<f32>,
}

#[derive(Deserialize)]
struct GoldenPair {
    a: String,
    b: String,
    cka: f64,
    debiased_cka: f64,
}

#[test]
#[expect(clippy::print_stdout, reason = "the error is worth quoting")]
fn pairs_agree_with_the_golden_cases_on_the_device() {
    let device = open(DeviceChoice::Auto).unwrap();
    for n in [4, 10, 60] {
        let path = format!(
            "{}/../../tests/golden/layer_vectors_{n}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let golden: Golden = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let vector = |layer: GoldenLayer| {
            let shape = (golden.n, layer.features);
            let activations = candle_core::Tensor::from_vec(layer.activations, shape, device.device()).unwrap();
            layer_vector(&CentredGram::of(&activations).unwrap()).unwrap()
        };
        let vectors: std::collections::BTreeMap<String, LayerVector> = golden
            .layers
            .into_iter()
            .map(|(name, layer)| (name, vector(layer)))
            .collect();
        let [mut cka_error, mut debiased_error] = [0.0_f64; 2];
        for pair in &golden.pairs {
            let (a, b) = (&vectors[&pair.a], &vectors[&pair.b]);
            cka_error = cka_error.max((a.cka(b) - pair.cka).abs());
            debiased_error = debiased_error.max((a.debiased_cka(b) - pair.debiased_cka).abs());
        }
        println!(
            "n = {n} on {}, {} pairs: largest error {cka_error:.1e} (CKA), {debiased_error:.1e} (debiased CKA)",
            device.description(),
            golden.pairs.len()
        );
        assert!(golden.pairs.len() >= 28);
        assert!(cka_error < TOLERANCE && debiased_error < TOLERANCE);
    }
}

#[test]
fn inner_products_are_those_of_the_matrices_for_any_number_of_images() {
    for n in (4..=12).chain([60, 100]) {
        let (k, x) = exact(&Activations::rectified(n, 5, 40, 1));
        let (l, y) = exact(&Activations::noise(n, 7, 2));
        let scale = (product(&k, &k) * product(&l, &l)).sqrt();
        let (u, v) = (u_centred(&k), u_centred(&l));

        let whole = product(&x.lead, &y.lead) + product(&x.tail, &y.tail);
        assert!((whole - product(&k, &l)).abs() < 1e-12 * scale, "n = {n}");
        assert!(
            (product(&x.lead, &y.lead) - product(&u, &v)).abs() < 1e-12 * scale,
            "n = {n}"
        );
        assert_eq!(x.lead.len(), n * (n - 3) / 2);
        assert_eq!(x.tail.len(), n);
    }
}

#[test]
fn the_basis_is_orthonormal_and_its_leading_members_have_a_zero_diagonal() {
    for n in 4..=12 {
        let dimensions = n * (n - 1) / 2;
        let lead_length = n * (n - 3) / 2;
        let member = |at: usize| {
            let mut coordinates = Coordinates {
                lead: vec![0.0; lead_length],
                tail: vec![0.0; n],
            };
            *coordinates
                .lead
                .iter_mut()
                .chain(&mut coordinates.tail)
                .nth(at)
                .unwrap() = 1.0;
            coordinates.gram()
        };
        let basis: Vec<Vec<f64>> = (0..dimensions).map(member).collect();
        for (i, a) in basis.iter().enumerate() {
            assert!(
                a.chunks(n).all(|row| row.iter().sum::<f64>().abs() < 1e-13),
                "n = {n}, member {i}"
            );
            if i < lead_length {
                assert!(
                    a.iter().step_by(n + 1).all(|value| value.abs() < 1e-13),
                    "n = {n}, member {i}"
                );
            }
            for (j, b) in basis.iter().enumerate() {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((product(a, b) - expected).abs() < 1e-12, "n = {n}, members {i} and {j}");
            }
        }
    }
}

#[test]
fn the_lengths_of_both_parts_are_those_of_the_u_centred_gram_and_of_the_rest() {
    for n in [4, 5, 17, 100, 400] {
        let (k, coordinates) = exact(&Activations::rectified(n, 6, 30, 3));
        let u = u_centred(&k);
        let rest: Vec<f64> = k.iter().zip(&u).map(|(k, u)| k - u).collect();
        let whole = product(&k, &k);
        assert!((product(&coordinates.lead, &coordinates.lead) - product(&u, &u)).abs() < 1e-12 * whole);
        assert!((product(&coordinates.tail, &coordinates.tail) - product(&rest, &rest)).abs() < 1e-12 * whole);
    }
}

#[test]
fn coordinates_lead_back_to_the_matrix() {
    for n in (4..=12).chain([60, 100, 1_000]) {
        let (gram, coordinates) = exact(&Activations::rectified(n, 5, 20, 4));
        let back = coordinates.gram();
        let largest = gram.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let error = gram
            .iter()
            .zip(&back)
            .fold(0.0_f64, |error, (a, b)| error.max((a - b).abs()));
        assert!(error < 1e-11 * largest, "n = {n}: {error:e} of {largest:e}");
    }
}

#[test]
fn a_stored_vector_leads_back_to_the_gram_of_unit_length() {
    let activations = Activations::rectified(100, 12, 64, 5);
    let gram = activations.centred_gram();
    let norm = product(&gram, &gram).sqrt();
    let back = gram_of(&vector_of(&activations));
    for (value, back) in gram.iter().zip(back) {
        assert!((value / norm - back).abs() < 1e-6);
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the error is worth quoting")]
fn wide_independent_noise_is_dissimilar_only_without_the_bias() {
    let a = Activations::noise(100, 20_000, 6);
    let b = Activations::noise(100, 20_000, 7);
    let (x, y) = (vector_of(&a), vector_of(&b));
    let (cka, debiased) = (x.cka(&y), x.debiased_cka(&y));
    println!("two layers of noise, 20,000 wide: CKA {cka:.4}, debiased {debiased:+.4}");
    // The 4,850 leading coordinates are practically independent: one standard deviation is 1 / √4850 = 0.014.
    assert!(cka > 0.9 && debiased.abs() < 5.0 / 4_850.0_f64.sqrt());
    let (k, l) = (a.centred_gram(), b.centred_gram());
    assert!((cka - super::reference::cka(&k, &l)).abs() < TOLERANCE);
    assert!((debiased - debiased_cka(&k, &l)).abs() < TOLERANCE);
}

#[test]
fn images_that_share_nothing_are_marked_as_such() {
    // One feature per image: the Gram matrix is the identity, whose U-centred form is zero.
    let n = 20;
    let values = (0..n * n).map(|at| f64::from(at % (n + 1) == 0)).collect();
    let one_hot = Activations {
        images: n,
        features: n,
        values,
    };
    let gram = CentredGram::of(&one_hot.tensor()).unwrap();
    assert_eq!(layer_vector(&gram), Err(Degenerate::NoSharedStructure));
}

#[test]
fn repeated_images_have_a_vector() {
    let half = Activations::rectified(10, 4, 32, 8);
    let values = [half.values.clone(), half.values].concat();
    let twice = Activations {
        images: 20,
        features: 32,
        values,
    };
    let vector = vector_of(&twice);
    assert!((vector.cka(&vector) - 1.0).abs() < 1e-6);
    assert!((vector.debiased_cka(&vector) - 1.0).abs() < 1e-6);
}

#[test]
fn one_outlier_among_images_never_gives_nan() {
    let mut values = vec![0.0; 20 * 3];
    values[0] = 1.0;
    let outlier = Activations {
        images: 20,
        features: 3,
        values,
    };
    match layer_vector(&CentredGram::of(&outlier.tensor()).unwrap()) {
        Ok(vector) => assert!(vector.lead.iter().chain(&vector.tail).all(|value| value.is_finite())),
        Err(reason) => assert_eq!(reason, Degenerate::NoSharedStructure),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_layer_has_a_similarity_of_one_with_itself(n in 4_usize..40, features in 1_usize..60, seed in any::<u32>()) {
        let x = vector_of(&Activations::noise(n, features, seed.into()));
        prop_assert!((x.cka(&x) - 1.0).abs() < 1e-6);
        prop_assert!((x.debiased_cka(&x) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn both_measures_are_symmetric_and_bounded_and_equal_the_definition(
        n in 4_usize..40, features in 1_usize..60, other in 1_usize..200, seed in any::<u32>(),
    ) {
        let a = Activations::noise(n, features, seed.into());
        let b = Activations::rectified(n, 3, other, u64::from(seed) + 1);
        let (x, y) = match [&a, &b].map(|side| layer_vector(&CentredGram::of(&side.tensor()).unwrap())) {
            [Ok(x), Ok(y)] => (x, y),
            // Few images may all be cut off by the same rectifiers.
            _ => return Ok(()),
        };
        prop_assert_eq!(x.cka(&y), y.cka(&x));
        prop_assert_eq!(x.debiased_cka(&y), y.debiased_cka(&x));
        prop_assert!((-1e-6..=1.0 + 1e-6).contains(&x.cka(&y)));
        prop_assert!(x.debiased_cka(&y).abs() <= 1.0 + 1e-6);
        let (k, l) = (a.centred_gram(), b.centred_gram());
        prop_assert!((x.cka(&y) - cka(&k, &l)).abs() < TOLERANCE);
        // A short leading part has already lost digits in the single-precision activations.
        let tolerance = TOLERANCE.max(1e-6 / x.lead_norm().min(y.lead_norm()));
        prop_assert!((x.debiased_cka(&y) - debiased_cka(&k, &l)).abs() < tolerance);
    }

    #[test]
    fn rotating_scaling_and_shifting_features_changes_nothing(
        n in 4_usize..40, features in 2_usize..60, scale in 1e-3_f64..1e3, shift in -100.0_f64..100.0,
        seed in any::<u32>(),
    ) {
        let a = Activations::noise(n, features, seed.into());
        let b = a.reflected(u64::from(seed) + 1).map(|value| value * scale).map(|value| value + shift * scale);
        let (x, y) = (vector_of(&a), vector_of(&b));
        // The shift is up to 100 standard deviations, and costs as many of the 2²⁴ steps of an f32.
        prop_assert!((x.cka(&y) - 1.0).abs() < TOLERANCE, "{}", x.cka(&y));
        let lead_error = 3e-5 / x.lead_norm().min(y.lead_norm());
        prop_assert!((x.debiased_cka(&y) - 1.0).abs() < TOLERANCE + lead_error * lead_error);
    }
}
