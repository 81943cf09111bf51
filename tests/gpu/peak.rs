//! What a device does at best: by its timestamps, and by the host's clock where there are none.

use std::time::Instant;

use tilegrad::gpu::{Device, DeviceOptions, Peak};

use crate::check::device;

#[test]
fn a_peak_is_finite_and_positive_and_soon_measured() {
    let Some(device) = device() else { return };
    let without = Device::new(DeviceOptions::default().timestamps(false)).unwrap();
    for device in [device, &without] {
        let began = Instant::now();
        let peak = Peak::measure(device).unwrap();
        eprintln!("{:.1} GFLOP/s, {:.1} GB/s, {:?}", peak.gflops(), peak.gigabytes(), began.elapsed());
        for (what, rate) in [("GFLOP/s", peak.gflops()), ("GB/s", peak.gigabytes())] {
            assert!(rate.is_finite() && rate > 0.01 && rate < 1e6, "{rate} {what}");
        }
        assert_eq!(peak.gflops(), 2e-9 * peak.multiply_adds_per_second);
    }
}

#[test]
fn half_precision_is_measured_where_shaders_have_it() {
    let Some(device) = device() else { return };
    let rate = Peak::measure_f16(device).unwrap();
    let features = device.facts()["features"].as_array().unwrap();
    assert_eq!(rate.is_some(), features.contains(&"SHADER_F16".into()));
    assert!(rate.is_none_or(|rate| rate.is_finite() && rate > 1e7), "{rate:?}");
    let without = Device::new(DeviceOptions::default().f16(false)).unwrap();
    assert_eq!(Peak::measure_f16(&without).unwrap(), None);
}
