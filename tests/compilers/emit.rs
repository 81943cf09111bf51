//! The kernels as files, for compilers that scripts run.

use std::path::Path;

use serde_json::json;

use crate::common::cards::{self, NETWORKS};
use crate::kernels::{Used, of_plans};
use crate::translate::Translator;

/// The language wants it said that subgroups are used; naga 30 refuses the line, and knows them without it. Tint can't know that
/// the eight lanes of a subgroup have one tile, and so that they leave its loops together, as the kernels with subgroups have it.
const SUBGROUPS: &str = "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n";

/// Bytes of workgroup memory that DX12 and browsers have: a kernel that needs more is no candidate there.
const WORKGROUP_MEMORY: u32 = 32 << 10;

/// The kernels of the four cards, as they are planned with these compilers' workgroup memory, and of lavapipe, which alone has some that use subgroups: there with few images, for its
/// bindings are small.
fn kernels() -> Vec<Used> {
    let lavapipe = cards::lavapipe();
    let mut plans = Vec::new();
    for (network, batch) in NETWORKS {
        plans.extend(cards::cards().map(|mut card| {
            card.caps.max_workgroup_memory = card.caps.max_workgroup_memory.min(WORKGROUP_MEMORY);
            (card.name, network.name(), cards::plan(&card, network, batch))
        }));
        plans.push((lavapipe.name, network.name(), cards::plan(&lavapipe, network, 4)));
    }
    of_plans(plans)
}

/// Writes the kernels of all plans to the folder that TILEGRAD_EMIT names, if it does: NNN-name.wgsl as Dawn wants it,
/// NNN-name.hlsl as wgpu's DX12 backend hands it on, and manifest.json. Without it, sees that there is HLSL of each.
#[test]
fn emit() {
    let folder = std::env::var_os("TILEGRAD_EMIT");
    let folder = folder.as_deref().map(Path::new);
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).unwrap();
    }
    let mut entries = Vec::new();
    for (i, used) in kernels().iter().enumerate() {
        let kernel = &used.kernel;
        let file = format!("{i:03}-{}", kernel.name.replace('/', "_"));
        let translated = Translator::new(kernel).hlsl();
        let (hlsl, hlsl_entry) = translated.unwrap_or_else(|fault| panic!("{}: {fault}", used.described()));
        let enable = if kernel.subgroups { SUBGROUPS } else { "" };
        if let Some(folder) = folder {
            std::fs::write(folder.join(format!("{file}.wgsl")), format!("{enable}{}", kernel.link())).unwrap();
            std::fs::write(folder.join(format!("{file}.hlsl")), hlsl).unwrap();
        }
        entries.push(json!({
            "file": file, "name": kernel.name, "label": used.label(), "node": used.node, "networks": used.networks,
            "cards": used.cards, "entry": "main", "hlsl_entry": hlsl_entry, "subgroups": kernel.subgroups,
        }));
    }
    println!("{} kernels", entries.len());
    if let Some(folder) = folder {
        let manifest = json!({ "kernels": entries });
        std::fs::write(folder.join("manifest.json"), format!("{manifest:#}\n")).unwrap();
    }
}
