// The window of avg_pool2d and its divisor, for the pooling and for its gradient. Source: torch.nn.AvgPool2d.
// Linked with: nothing. Header: T, params.

// Along one axis, for a window that starts at `first` in the padded input: its part inside the input, from low to high,
// and the length of its part inside the padded input.
struct Side { low: u32, high: u32, padded: u32 }

fn side(first: u32, kernel: u32, pad: u32, size: u32) -> Side {
    let end = min(first + kernel, size + 2 * pad);
    return Side(min(max(first, pad) - pad, size), min(max(end, pad) - pad, size), end - first);
}

fn divisor(rows: Side, columns: Side) -> T {
    if params.divisor_override != 0u {
        return T(params.divisor_override);
    }
    if params.count_include_pad != 0u {
        return T(rows.padded * columns.padded);
    }
    return T((rows.high - rows.low) * (columns.high - columns.low));
}
