//! Medians and percentiles.

use serde::Serialize;

/// Round trips, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub most: f64,
    pub lost: u64,
}

impl Percentiles {
    pub fn of(mut micros: Vec<f64>, lost: u64) -> Percentiles {
        micros.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = (micros.len() as f64 * share) as usize;
            micros.get(place.min(micros.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
        };
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), most: at(1.0), lost }
    }
}

/// Of the middle, or of the lower one of two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
