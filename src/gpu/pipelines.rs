//! Linking: from a kernel's files to a pipeline, with bindings and workgroup size reflected by naga.

use super::failure::typed;
use crate::error::{Error, Result};
use crate::kernel::{HeaderConstant, Kernel};

/// A kernel's access to a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A uniform buffer.
    Uniform,
    /// A read-only storage buffer.
    Read,
    /// A writable storage buffer.
    ReadWrite,
}

/// The interface of a linked kernel, as reflected.
#[derive(Clone, Debug, PartialEq)]
pub struct Reflection {
    /// Invocations per workgroup.
    pub workgroup_size: u32,
    /// Name, binding number and access of each variable that the entry point uses.
    pub bindings: Vec<(String, u32, Access)>,
    /// Name and offset of each field of the uniform `params`.
    pub fields: Vec<(String, u32)>,
    /// True if a second run on the same inputs changes nothing, because the kernel reads no variable that it writes.
    pub idempotent: bool,
}

/// Parses, validates and reflects a kernel, without a device.
pub fn reflect(kernel: &Kernel) -> Result<Reflection> {
    let text = kernel.link();
    let fail = |message: String| Error::Validation(format!("kernel \"{}\": {message}", kernel.name));
    let module = naga::front::wgsl::parse_str(&text).map_err(|error| fail(error.emit_to_string(&text)))?;
    let mut capabilities = naga::valid::Capabilities::empty();
    capabilities.set(naga::valid::Capabilities::SUBGROUP, kernel.subgroups);
    capabilities.set(naga::valid::Capabilities::SHADER_FLOAT16, kernel.f16);
    let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), capabilities)
        .validate(&module)
        .map_err(|error| fail(error.emit_to_string(&text)))?;
    let [entry] = module.entry_points.as_slice() else {
        return Err(fail(format!("has {} entry points, not one", module.entry_points.len())));
    };
    let uses = info.get_entry_point(0);
    let mut bindings = Vec::new();
    let mut fields = Vec::new();
    // This constant disables the read, which naga does not consider.
    let adds_nothing = kernel.constants.contains(&("ACCUMULATE", HeaderConstant::Bool(false)));
    let mut idempotent = true;
    for (handle, variable) in module.global_variables.iter() {
        let (Some(binding), false) = (&variable.binding, uses[handle].is_empty()) else { continue };
        let access = match variable.space {
            naga::AddressSpace::Uniform => Access::Uniform,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => Access::ReadWrite,
            _ => Access::Read,
        };
        // Reads through another binding cannot matter: wgpu refuses to bind one buffer both for reading and for
        // writing.
        let reads = uses[handle].contains(naga::valid::GlobalUse::READ) && !adds_nothing;
        idempotent &= access != Access::ReadWrite || !reads;
        let name = variable.name.clone().unwrap_or_default();
        if let naga::TypeInner::Struct { members, .. } = &module.types[variable.ty].inner
            && access == Access::Uniform
        {
            fields = members.iter().map(|m| (m.name.clone().unwrap_or_default(), m.offset)).collect();
        }
        bindings.push((name, binding.binding, access));
    }
    Ok(Reflection { workgroup_size: entry.workgroup_size.iter().product(), bindings, fields, idempotent })
}

/// A kernel compiled for a device.
pub(super) struct Pipeline {
    pub reflection: Reflection,
    pub layout: wgpu::BindGroupLayout,
    pub pipeline: wgpu::ComputePipeline,
}

impl Pipeline {
    /// Compiles `kernel` with or without bounds checks. The driver may take it from `cache`.
    pub fn new(
        raw: &wgpu::Device,
        cache: Option<&wgpu::PipelineCache>,
        kernel: &Kernel,
        checked: bool,
    ) -> Result<Self> {
        let reflection = reflect(kernel)?;
        let entries: Vec<wgpu::BindGroupLayoutEntry> = reflection
            .bindings
            .iter()
            .map(|(_, binding, access)| wgpu::BindGroupLayoutEntry {
                binding: *binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: match access {
                        Access::Uniform => wgpu::BufferBindingType::Uniform,
                        Access::Read => wgpu::BufferBindingType::Storage { read_only: true },
                        Access::ReadWrite => wgpu::BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let label = Some(kernel.name);
        // An error scope belongs to its thread, so kernels compiled at the same time have their own errors.
        let scope = raw.push_error_scope(wgpu::ErrorFilter::Validation);
        let layout = raw.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = raw.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(kernel.link().into()) };
        let module = match checked {
            true => raw.create_shader_module(source),
            // SAFETY: the kernel is built in. Its loops end, and its tests run it with inputs between NaNs and outputs
            // filled with NaN, which exposes any read or write out of bounds.
            false => unsafe { raw.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked()) },
        };
        let pipeline = raw.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write workgroup memory before reading it.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(typed(error)),
            None => Ok(Pipeline { reflection, layout, pipeline }),
        }
    }
}
