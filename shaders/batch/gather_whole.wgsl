// The pixel of image `item` that comes to `pixel` of the batch: itself.
// Linked with: nothing. Header: nothing.

fn pixel_of(item: u32, pixel: u32) -> u32 {
    return pixel;
}
