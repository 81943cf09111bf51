//! AMD's compiler without a card: RADV, Mesa's Vulkan driver, makes a null device of any generation, which compiles pipelines and
//! says what it made of them: 22.3 and 25.0 were tried, 26 makes null devices no more. No other GPU's compiler can be asked here.
//!
//! A kernel that spills registers, or keeps some in memory, is wrong on every card, so it fails here.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ash::vk;
use serde_json::{Value, json};
use tilegrad::gpu::Access;

use crate::common::cards;
use crate::kernels::{Used, of};
use crate::translate::Translator;

/// A generation by the names that versions of RADV have for it, and a card of it.
const FAMILIES: [(&[&str], &str); 3] = [
    (&["navi21"], "RX 6800 XT (RDNA 2)"),
    (&["navi31", "gfx1100"], "RX 7900 XTX (RDNA 3)"),
    (&["vega10"], "RX Vega 64 (GCN 5)"),
];

/// Which family this process is to compile for, and the file for what comes out.
const FAMILY: &str = "RADV_FORCE_FAMILY";
const RESULT: &str = "TILEGRAD_RADV_RESULT";

/// What must be 0.
const NONE: [&str; 3] = ["Spilled VGPRs", "Spilled SGPRs", "Scratch size"];

/// The columns of the table after the kernel's: what the driver calls it, and what it is called here. Those before "Code size" no
/// version of it leaves out.
const COLUMNS: [(&str, &str); 8] = [
    ("VGPRs", "VGPRs"),
    ("SGPRs", "SGPRs"),
    ("LDS size", "workgroup memory"),
    ("Subgroups per SIMD", "waves a SIMD"),
    ("Code size", "code"),
    ("Instructions", "instructions"),
    ("Latency", "latency"),
    ("Inverse Throughput", "inverse throughput"),
];

#[test]
fn every_kernel_fits_the_registers_of_amd() {
    let kernels = of(&[cards::rx6800xt()]);
    if let Some(path) = std::env::var_os(RESULT) {
        let found = unsafe { compile(&kernels) };
        return std::fs::write(path, found.to_string()).unwrap();
    }
    let Some(icd) = icd() else {
        return skipped("RADV, Mesa's driver for AMD's cards, is not installed, so no kernel was compiled for them");
    };
    let (mut tables, mut faults, mut driver) = (String::new(), Vec::new(), String::new());
    for (names, card) in FAMILIES {
        let mut refusals = Vec::new();
        let made = names.iter().find_map(|family| match of_family(family, &icd) {
            Ok(found) => Some((family, found)),
            Err(refusal) => {
                refusals.push(refusal);
                None
            }
        });
        let Some((family, found)) = made else {
            refusals.dedup();
            skipped(&format!("no kernel was compiled for the {card}. RADV says: {}", refusals.join("; ")));
            continue;
        };
        driver = format!("{} {}", found["driver"].as_str().unwrap(), found["version"].as_str().unwrap());
        println!("{card}, {}, {}, {:.1} s", found["device"], driver, found["seconds"].as_f64().unwrap());
        let table = table(&kernels, &found);
        println!("{table}");
        write!(tables, "\n## {card}: {family}\n\n{table}").unwrap();
        faults.extend(self::faults(&kernels, &found).into_iter().map(|fault| format!("{family}: {fault}")));
    }
    if let Some(folder) = std::env::var_os("TILEGRAD_COMPILERS_OUT").filter(|_| !tables.is_empty()) {
        let path = Path::new(&folder).join("radv.md");
        std::fs::write(path, format!("{}{tables}", header(&driver, kernels.len()))).unwrap();
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Says it where a test that passes is heard, too.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}

/// The file by which Vulkan's loader finds RADV: one that the environment names as it does for the loader, or the system's.
fn icd() -> Option<PathBuf> {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().filter_map(std::env::var_os);
    let mut found: Vec<PathBuf> = named.flat_map(|files| std::env::split_paths(&files).collect::<Vec<_>>()).collect();
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    found.extend(files.flatten().map(|entry| entry.path()));
    let other_kind = |name: &str| name.contains("i686") && !cfg!(target_arch = "x86");
    let fits = |name: &str| name.starts_with("radeon_icd") && !other_kind(name);
    found.into_iter().find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}

/// What a process of its own says whose loader finds nothing but RADV, made a card of `family`; or why RADV makes none.
fn of_family(family: &str, icd: &Path) -> Result<Value, String> {
    let result = std::env::temp_dir().join(format!("tilegrad-radv-{}-{family}.json", std::process::id()));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "radv::every_kernel_fits_the_registers_of_amd", "--nocapture"])
        .envs([("VK_ICD_FILENAMES", icd), ("VK_DRIVER_FILES", icd), (RESULT, &result)])
        .envs([(FAMILY, family), ("MESA_SHADER_CACHE_DISABLE", "true")])
        .output()
        .unwrap();
    let text = std::fs::read_to_string(&result).ok();
    let _ = std::fs::remove_file(&result);
    match text {
        Some(text) => Ok(serde_json::from_str(&text).unwrap()),
        None => Err(refusal(&output).unwrap_or_else(|| panic!("{family}: {}\n{}", output.status, said(&output)))),
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Why RADV makes no null device of a family, if it says so: it has never heard of it, or makes none any more (since Mesa 26).
fn refusal(output: &Output) -> Option<String> {
    let said = said(output);
    let line = said.lines().find(|line| line.contains("Unknown family") || line.contains("has been removed"))?;
    Some(line.trim_start_matches("radv: ").to_string())
}

/// Compiles the kernels on the only device there is; the process has been told which.
///
/// # Safety
///
/// Vulkan's: every object is made as its specification says, and lives as long as the process.
unsafe fn compile(kernels: &[Used]) -> Value {
    unsafe {
        let began = std::time::Instant::now();
        let entry = ash::Entry::load().expect("RADV is there, so is Vulkan's loader");
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let instance = entry
            .create_instance(&vk::InstanceCreateInfo::default().application_info(&application), None)
            .expect("an instance");
        let devices = instance.enumerate_physical_devices().expect("a list of devices");
        let physical = *devices.first().expect("RADV makes a null device of a family that it knows");
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        instance.get_physical_device_properties2(physical, &mut properties);
        let properties = properties.properties;
        let version = properties.api_version;
        let version = (vk::api_version_major(version), vk::api_version_minor(version));

        // What wgpu asks for, where it changes code: robust access, and subgroups of any size.
        let queue = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let extensions =
            [ash::khr::pipeline_executable_properties::NAME, ash::ext::robustness2::NAME].map(CStr::as_ptr);
        let mut statistics =
            vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        let mut robust =
            vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true).robust_image_access2(true);
        let mut subgroups = vk::PhysicalDeviceSubgroupSizeControlFeatures::default().subgroup_size_control(true);
        let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queue)
            .enabled_extension_names(&extensions)
            .enabled_features(&features)
            .push_next(&mut statistics)
            .push_next(&mut robust)
            .push_next(&mut subgroups);
        let device = instance.create_device(physical, &info, None).expect("a device");
        let statistics = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
        let compiled = kernels.iter().map(|used| {
            pipeline(&device, used, version)
                .map_or_else(|fault| json!({ "fault": fault }), |pipeline| of_pipeline(&statistics, pipeline))
        });
        json!({
            "kernels": compiled.collect::<Vec<_>>(),
            "device": text(&properties.device_name),
            "driver": text(&driver.driver_name),
            "version": text(&driver.driver_info),
            "seconds": began.elapsed().as_secs_f64(),
        })
    }
}

/// A string of Vulkan's.
fn text(of: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = of.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A pipeline as wgpu makes it, with its statistics.
unsafe fn pipeline(device: &ash::Device, used: &Used, version: (u32, u32)) -> Result<vk::Pipeline, String> {
    let translator = Translator::new(&used.kernel);
    let words = translator.spirv(version)?;
    let bindings: Vec<_> = (0..)
        .zip(&translator.bindings)
        .map(|(i, &(_, access))| {
            let kind = match access {
                Access::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
                Access::Read | Access::ReadWrite => vk::DescriptorType::STORAGE_BUFFER,
            };
            let binding = vk::DescriptorSetLayoutBinding::default().binding(i).descriptor_type(kind);
            binding.descriptor_count(1).stage_flags(vk::ShaderStageFlags::COMPUTE)
        })
        .collect();
    let make = || unsafe {
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let sets = [device.create_descriptor_set_layout(&set, None)?];
        let layout =
            device.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&sets), None)?;
        let module = device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(&words), None)?;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        let info = vk::ComputePipelineCreateInfo::default()
            .flags(vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR)
            .stage(stage)
            .layout(layout);
        let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
        made.map(|pipelines| pipelines[0]).map_err(|(_, error)| error)
    };
    make().map_err(|error: vk::Result| format!("the driver says {error}"))
}

/// What the driver says of a pipeline, by its names.
unsafe fn of_pipeline(statistics: &ash::khr::pipeline_executable_properties::Device, pipeline: vk::Pipeline) -> Value {
    let (properties, found) = unsafe {
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
        let properties = statistics.get_pipeline_executable_properties(&info).expect("properties");
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        (properties, statistics.get_pipeline_executable_statistics(&info).expect("statistics"))
    };
    let number = |of: &vk::PipelineExecutableStatisticKHR<'_>| unsafe {
        match of.format {
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => json!(of.value.f64),
            vk::PipelineExecutableStatisticFormatKHR::INT64 => json!(of.value.i64),
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => json!(of.value.b32 != 0),
            _ => json!(of.value.u64),
        }
    };
    let mut by_name: BTreeMap<String, Value> = found.iter().map(|of| (text(&of.name), number(of))).collect();
    by_name.insert("Subgroup size".into(), json!(properties[0].subgroup_size));
    json!(by_name)
}

/// What is wrong with the kernels.
fn faults(kernels: &[Used], found: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (used, found) in kernels.iter().zip(found["kernels"].as_array().unwrap()) {
        if let Some(fault) = found.get("fault") {
            faults.push(format!("{}: {fault}", used.described()));
            continue;
        }
        // A test that looks for what is not there passes for ever.
        let number = |name: &str| found.get(name).and_then(Value::as_u64);
        let named = NONE.into_iter().chain(COLUMNS[..4].iter().map(|(name, _)| *name));
        let missing: Vec<&str> = named.filter(|name| number(name).is_none()).collect();
        if !missing.is_empty() {
            faults.push(format!("{}: the driver says nothing of {}", used.described(), missing.join(", ")));
        }
        let too_much: Vec<String> = NONE
            .into_iter()
            .filter_map(|name| number(name).filter(|&count| count > 0).map(|count| format!("{name} {count}")))
            .collect();
        if !too_much.is_empty() {
            faults.push(format!("{}: {}, VGPRs {}", used.described(), too_much.join(", "), found["VGPRs"]));
        }
    }
    faults
}

/// The table of one family, as Markdown.
fn table(kernels: &[Used], found: &Value) -> String {
    let mut table = String::from("| kernel | first node | networks | wave |");
    COLUMNS.iter().for_each(|(_, column)| write!(table, " {column} |").unwrap());
    table += &format!("\n|{}\n", "---|".repeat(4 + COLUMNS.len()));
    for (used, found) in kernels.iter().zip(found["kernels"].as_array().unwrap()) {
        write!(table, "| {} | {} | {} |", used.label(), used.node, used.networks.join(", ")).unwrap();
        let names = std::iter::once("Subgroup size").chain(COLUMNS.iter().map(|(name, _)| *name));
        let number = |name: &str| found.get(name).map_or("-".into(), Value::to_string);
        names.for_each(|name| write!(table, " {} |", number(name)).unwrap());
        table.push('\n');
    }
    table
}

fn header(driver: &str, kernels: usize) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["log", "-1", "--format=%cs, after %h"]).unwrap_or_default();
    format!(
        "# What AMD's compiler makes of the kernels\n\n\
         The {kernels} kernels of training steps of {} on an RX 6800 XT, default choices, compiled without a card by RADV, made \
         a null device of three generations. Nothing here was run.\n\n\
         {driver}; {commit}. Made again by `TILEGRAD_COMPILERS_OUT=benches/results cargo test --test compilers amd`. The test \
         fails if a kernel is refused, spills a register or takes scratch memory.\n\n\
         A kernel is named with what tells it from the others of its name; 128x64x16 of 8x4 is a tile of 128 rows, 64 columns \
         and 16 places in K, of which an invocation owns 8x4 sums. Wave: lanes. Registers are those of a lane (VGPRs, at \
         most 256) and of a wave (SGPRs). Workgroup memory and code are in bytes. Waves a SIMD are those that registers and \
         workgroup memory let be there at once, counted on RDNA, by this driver, in halves of 32 lanes (of 32; 10 are five waves \
         of 64), on GCN whole (of 10). Latency (cycles of one wave) and inverse throughput (cycles in which one wave keeps the \
         busiest unit busy) are the compiler's estimates, which guess how often a loop runs: good for comparing two forms of one \
         kernel, not for times.\n",
        cards::NETWORKS.map(|(network, batch)| format!("{} ({batch})", network.name())).join(", "),
    )
}
