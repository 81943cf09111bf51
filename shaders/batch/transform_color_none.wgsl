// Unchanged colours, in any number of channels.
// Linked with: batch/transform_cropped.wgsl or batch/transform_resized.wgsl. Header: nothing.

struct Color { image: u32, place: Place }

fn color_of(row: u32, image: u32, place: Place) -> Color {
    return Color(image, place);
}

fn channel_of(color: Color, channel: u32) -> u32 {
    return sampled(color.image, color.place, channel);
}
