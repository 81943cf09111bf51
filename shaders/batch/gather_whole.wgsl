// The source in image `item` of `pixel` of the batch: the same pixel.
// Linked with: nothing. Header: nothing.

fn pixel_of(item: u32, pixel: u32) -> u32 {
    return pixel;
}
