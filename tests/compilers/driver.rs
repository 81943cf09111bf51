//! AMD's driver by plain Vulkan: its null device compiles kernels and says what it made of them.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::path::PathBuf;

use ash::vk;
use serde_json::{Value, json};
use tilegrad::gpu::Access;

use crate::kernels::Used;
use crate::translate::Translator;

/// By which name the driver, and what is found here, has the final instructions.
pub const ASSEMBLY: &str = "Assembly";

/// The file by which Vulkan's loader finds RADV: one that the environment names as it does for the loader, or the system's.
pub fn icd() -> Option<PathBuf> {
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].into_iter().filter_map(std::env::var_os);
    let mut found: Vec<PathBuf> = named.flat_map(|files| std::env::split_paths(&files).collect::<Vec<_>>()).collect();
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    found.extend(files.flatten().map(|entry| entry.path()));
    let other_kind = |name: &str| name.contains("i686") && !cfg!(target_arch = "x86");
    let fits = |name: &str| name.starts_with("radeon_icd") && !other_kind(name);
    found.into_iter().find(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy())))
}

/// Compiles the kernels on the only device there is; the process has been told which.
///
/// # Safety
///
/// Vulkan's: every object is made as its specification says, and lives as long as the process.
pub unsafe fn compile(kernels: &[Used]) -> Value {
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
            .flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            )
            .stage(stage)
            .layout(layout);
        let made = device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
        made.map(|pipelines| pipelines[0]).map_err(|(_, error)| error)
    };
    make().map_err(|error: vk::Result| format!("the driver says {error}"))
}

/// What the driver says of a pipeline, by its names.
unsafe fn of_pipeline(statistics: &ash::khr::pipeline_executable_properties::Device, pipeline: vk::Pipeline) -> Value {
    let (properties, found, assembly) = unsafe {
        let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
        let properties = statistics.get_pipeline_executable_properties(&info).expect("properties");
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        let found = statistics.get_pipeline_executable_statistics(&info).expect("statistics");
        (properties, found, assembly(statistics, &info))
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
    by_name.insert(ASSEMBLY.into(), json!(assembly));
    json!(by_name)
}

/// The last of the texts that the driver has of what it compiled: the instructions.
unsafe fn assembly(
    executables: &ash::khr::pipeline_executable_properties::Device,
    info: &vk::PipelineExecutableInfoKHR<'_>,
) -> Option<String> {
    // SAFETY: the first call says how long the texts are, the second has as much memory to write them to.
    let mut texts = unsafe { executables.get_pipeline_executable_internal_representations(info).expect("texts") };
    let of = texts.iter_mut().rfind(|of| of.is_text != 0 && text(&of.name) == ASSEMBLY)?;
    let mut bytes = vec![0_u8; of.data_size];
    of.p_data = bytes.as_mut_ptr().cast();
    let mut count = texts.len() as u32;
    let call = executables.fp().get_pipeline_executable_internal_representations_khr;
    let result = unsafe { call(executables.device(), info, &mut count, texts.as_mut_ptr()) };
    result.result().ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_string())
}
