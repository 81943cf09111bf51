//! Properties reported by an adapter, for reports.

use serde_json::{Map, Value, json};

use crate::gpu::units::of_driver;

/// Names, numbers, features, limits and matrix shapes of an adapter.
pub(in crate::gpu) fn facts(adapter: &wgpu::Adapter, used: wgpu::Features) -> Value {
    let info = adapter.get_info();
    let names = |features: wgpu::Features| features.iter_names().map(|(name, _)| name).collect::<Vec<_>>();
    let matrices = adapter.cooperative_matrix_properties();
    let matrix = |shape: &wgpu::CooperativeMatrixProperties| {
        json!({
            "m": shape.m_size, "n": shape.n_size, "k": shape.k_size,
            "ab": format!("{:?}", shape.ab_type), "c": format!("{:?}", shape.cr_type),
            "saturating": shape.saturating_accumulation,
        })
    };
    json!({
        "name": info.name,
        "vendor": info.vendor,
        "device": info.device,
        "pci_bus": info.device_pci_bus_id,
        "driver": info.driver,
        "driver_info": info.driver_info,
        "backend": format!("{:?}", info.backend),
        "device_type": format!("{:?}", info.device_type),
        "compute_units": of_driver(adapter),
        "subgroup_sizes": [info.subgroup_min_size, info.subgroup_max_size],
        "features": names(adapter.features()),
        "features_used": names(used),
        "limits": limits(&adapter.limits()),
        "cooperative_matrices": matrices.iter().map(matrix).collect::<Vec<_>>(),
    })
}

/// Values of all limits. wgpu lists them only in its debug output.
fn limits(limits: &wgpu::Limits) -> Value {
    let text = format!("{limits:#?}");
    let pairs = text.lines().filter_map(|line| {
        let (name, value) = line.trim().trim_end_matches(',').split_once(": ")?;
        Some((name.to_string(), Value::from(value.parse::<u64>().ok()?)))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_names_and_numbers() {
        let found = limits(&wgpu::Limits::default());
        assert_eq!(found["max_compute_workgroup_storage_size"], 16_384);
        assert_eq!(found["max_buffer_size"], 256 << 20);
        assert!(found.as_object().is_some_and(|found| found.len() > 25), "{found}");
    }
}
