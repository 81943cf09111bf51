//! The uniform `params` of a kernel: a plain Rust struct, declared to WGSL by the generated header.

/// A params struct. [`params!`](crate::params) defines one, so that offsets are never counted by hand.
pub trait Params {
    /// Its fields in order.
    const FIELDS: &'static [Field];

    /// Its bytes as WGSL lays out a uniform struct of these fields.
    fn bytes(&self) -> Vec<u8>;
}

/// Params of a kernel without fields.
impl Params for () {
    const FIELDS: &'static [Field] = &[];

    fn bytes(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// A field of a params struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Field {
    /// The name, the same in Rust and in WGSL.
    pub name: &'static str,
    /// The type in WGSL.
    pub wgsl: &'static str,
    /// The first byte in the uniform buffer.
    pub offset: usize,
}

/// A type that a field may have.
pub trait Uniform {
    /// Its name in WGSL.
    const WGSL: &'static str;
    /// Its size in bytes, to which WGSL aligns it too.
    const SIZE: usize;

    /// Appends its bytes.
    fn write(&self, bytes: &mut Vec<u8>);
}

macro_rules! uniform {
    ($($type:ty, $wgsl:literal, $size:literal;)*) => {
        $(impl Uniform for $type {
            const WGSL: &'static str = $wgsl;
            const SIZE: usize = $size;

            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.resize(bytes.len().next_multiple_of($size), 0);
                bytes.extend_from_slice(bytemuck::bytes_of(self));
            }
        })*
    };
}
uniform! {
    u32, "u32", 4;
    i32, "i32", 4;
    f32, "f32", 4;
    [u32; 4], "vec4u", 16;
    [f32; 4], "vec4f", 16;
}

/// The fields of these names, types and sizes, each at the next multiple of its size.
#[doc(hidden)]
pub const fn fields<const N: usize>(of: [(&'static str, &'static str, usize); N]) -> [Field; N] {
    let mut fields = [Field { name: "", wgsl: "", offset: 0 }; N];
    let (mut i, mut offset) = (0, 0_usize);
    while i < N {
        let (name, wgsl, size) = of[i];
        offset = offset.next_multiple_of(size);
        fields[i] = Field { name, wgsl, offset };
        offset += size;
        i += 1;
    }
    fields
}

/// Bytes of a whole struct: WGSL rounds its size up to the largest alignment among its fields.
#[doc(hidden)]
pub fn padded(mut bytes: Vec<u8>, fields: &[Field]) -> Vec<u8> {
    let largest = if fields.iter().any(|field| field.wgsl.starts_with("vec4")) { 16 } else { 4 };
    bytes.resize(bytes.len().next_multiple_of(largest), 0);
    bytes
}

/// Declares the params struct of a kernel, with fields of type u32, i32, f32, [u32; 4] (vec4u in WGSL) or [f32; 4]
/// (vec4f).
///
/// The kernel's WGSL reads them as `params.name`. Struct and binding are generated.
/// ```
/// tilegrad::params! {
///     /// How many elements there are, and what each is multiplied by.
///     pub struct Params { len: u32, factor: f32 }
/// }
/// use tilegrad::kernel::Params as _;
/// assert_eq!(Params { len: 1, factor: 2.0 }.bytes(), [1, 0, 0, 0, 0, 0, 0, 64]);
/// ```
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default)]
        #[allow(missing_docs, reason = "the struct says what its fields are")]
        $vis struct $name { $(pub $field: $type),* }

        impl $crate::kernel::Params for $name {
            const FIELDS: &'static [$crate::kernel::Field] = &$crate::kernel::fields([$((
                stringify!($field),
                <$type as $crate::kernel::Uniform>::WGSL,
                <$type as $crate::kernel::Uniform>::SIZE,
            )),*]);

            fn bytes(&self) -> Vec<u8> {
                let mut bytes = Vec::new();
                $($crate::kernel::Uniform::write(&self.$field, &mut bytes);)*
                $crate::kernel::padded(bytes, Self::FIELDS)
            }
        }
    };
}
