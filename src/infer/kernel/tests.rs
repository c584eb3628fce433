//! Tests of each kernel's functions that no network tests by itself.

use super::*;
use crate::infer::reference;

/// Every 5003rd f32, of both signs: subnormals, infinities and NaNs among them.
fn all_over() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(5003).map(f32::from_bits)
}

#[test]
fn sigmoid_is_right_everywhere() {
    for kernel in Kernel::available() {
        let x: Vec<f32> = all_over().chain((0..400_000).map(|i| i as f32 / 1700.0 - 118.0)).collect();
        let mut y = x.clone();
        kernel.sigmoid(&mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let expected = reference::sigmoid(f64::from(x));
            let error = (f64::from(y) - expected).abs();
            let right = error <= 3e-7 * expected || error <= 1e-38 || (x.is_nan() && y.is_nan());
            assert!(right, "{kernel:?}: sigmoid({x:e}) = {y:e}, expected {expected:e}");
        }
        let mut ends = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0, -0.0];
        kernel.sigmoid(&mut ends);
        assert_eq!(ends[..2], [1.0, 0.0]);
        assert!(ends[2].is_nan());
        assert_eq!(ends[3..], [0.5, 0.5]);
    }
}

#[test]
fn sigmoid_does_not_depend_on_the_place() {
    for kernel in Kernel::available() {
        let values: Vec<f32> = (0..50).map(|i| (i as f32 - 25.0) * 0.73).collect();
        for n in 0..values.len() {
            let mut some = values[..n].to_vec();
            kernel.sigmoid(&mut some);
            for (i, &got) in some.iter().enumerate() {
                let mut alone = [values[i]];
                kernel.sigmoid(&mut alone);
                assert_eq!(alone[0].to_bits(), got.to_bits());
            }
        }
    }
}

/// A dense layer of one input with weight 1 is its activation.
fn activate(kernel: &Kernel, then: Then, x: &[f32]) -> Vec<f32> {
    const ONE: [f32; LANES] = [1.0; LANES];
    let mut arena = vec![0.0; x.len() * (LANES + 1)];
    arena[..x.len()].copy_from_slice(x);
    let op = Dense {
        rows: x.len(),
        weight: Matrix::Single(&ONE),
        grouped: None,
        inputs: 1,
        columns: 0..1,
        outputs: LANES,
        bias: Bias::None,
        input: Rows { start: 0, stride: 1 },
        output: Rows { start: x.len(), stride: LANES },
        output_step: LANES,
        then,
    };
    kernel.dense(&mut arena, &op);
    arena[x.len()..].iter().step_by(LANES).copied().collect()
}

#[test]
fn activations_are_right_everywhere() {
    for kernel in Kernel::available() {
        let x: Vec<f32> = all_over().chain((0..100_000).map(|i| i as f32 / 4000.0 - 12.5)).collect();
        for (&x, y) in x.iter().zip(activate(kernel, Then::Tanh, &x)) {
            let expected = libm::tanh(f64::from(x));
            let error = (f64::from(y) - expected).abs();
            // Rounding, not cancellation: relative down to the smallest normal number.
            let right = error <= 4e-7 * expected.abs() || error <= 1e-37 || (x.is_nan() && y.is_nan());
            assert!(right, "{kernel:?}: tanh({x:e}) = {y:e}, expected {expected:e}");
        }
        for (&x, y) in x.iter().zip(activate(kernel, Then::Relu, &x)) {
            assert!(
                y == if x < 0.0 { 0.0 } else { x } || (x.is_nan() && y.is_nan()),
                "{kernel:?}: relu({x:e}) = {y:e}"
            );
        }
    }
}

/// Small integers: every sum is exact in any order.
fn integers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 + seed * 104_729) % 17) as f32 - 8.0).collect()
}

#[test]
fn dot_of_every_length() {
    for kernel in Kernel::available() {
        for n in 0..200 {
            let (a, b) = (integers(n, 1), integers(n, 2));
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(kernel.dot(&a, &b), expected, "{kernel:?} {n}");
        }
    }
}

/// All numbers of rows and panels that have a tile of their own, with some columns skipped, in both storages, written
/// to rows and to panels.
#[test]
fn dense_of_every_shape() {
    for kernel in Kernel::available() {
        for rows in 0..=30 {
            for (inputs, outputs, columns) in [(5, 3, 0..5), (9, 40, 4..9), (3, 250, 1..2), (4, 16, 4..4)] {
                let panels = padded(outputs) * inputs;
                let single = integers(panels, rows);
                let half: Vec<u16> = single.iter().map(|&w| half::f16::from_f32(w).to_bits()).collect();
                let bias = integers(padded(outputs), 3);
                let input = Rows { start: 7, stride: 11 };
                let to_rows = (Rows { start: 400, stride: padded(outputs) + 1 }, LANES);
                let to_panels = (Rows { start: 400, stride: LANES }, (rows + 2) * LANES);
                let size = 400 + (rows + 2) * (padded(outputs) + 1);
                let mut before = integers(size, 4);
                before[400..].fill(99.0);
                for (weight, (output, output_step)) in [Matrix::Single(&single), Matrix::Half(&half)]
                    .into_iter()
                    .flat_map(|weight| [to_rows, to_panels].map(|to| (weight, to)))
                {
                    let mut arena = before.clone();
                    let op = Dense {
                        rows,
                        weight,
                        grouped: None,
                        inputs,
                        columns: columns.clone(),
                        outputs,
                        bias: Bias::Params(&bias),
                        input,
                        output,
                        output_step,
                        then: Then::None,
                    };
                    kernel.dense(&mut arena, &op);
                    for (row, o) in (0..rows).flat_map(|row| (0..padded(outputs)).map(move |o| (row, o))) {
                        let x = &before[input.row(row, inputs)];
                        let weight = |k: usize| single[(o / LANES * inputs + k) * LANES + o % LANES];
                        let sum = columns.clone().map(|k| weight(k) * x[k]).sum::<f32>() + bias[o];
                        assert_eq!(
                            arena[output.row(row, 0).start + o / LANES * output_step + o % LANES],
                            sum,
                            "{kernel:?}, {rows} rows, [{outputs}, {inputs}]"
                        );
                    }
                }
            }
        }
    }
}

/// A layer gives the same result with zeros skipped. Weights that must not be read are NaN, which shows that they are
/// skipped.
#[test]
fn zeros_are_left_out_without_a_trace() {
    let shapes = [(1, 16), (17, 130), (63, 160), (64, 64), (65, 250), (130, 400)];
    for (kernel, (inputs, outputs)) in Kernel::available().flat_map(|kernel| shapes.map(|shape| (kernel, shape))) {
        for (rows, of_three) in [1, 2, 5, 55, TILE_ROWS].into_iter().flat_map(|rows| (0..=3).map(move |n| (rows, n))) {
            let case = format!("{kernel:?}, {rows} rows, [{outputs}, {inputs}], {of_three} of 3 in use");
            let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.0 - 1.0;
            let matrix: Vec<f32> = (0..padded(outputs) * inputs).map(number).collect();
            let bias: Vec<f32> = (0..padded(outputs)).map(|i| number(i + 5)).collect();
            // The same inputs of all rows are 0, of either sign.
            let in_use = |k: usize| k * 7 % 3 < of_three;
            let input = Rows { start: 3, stride: inputs + 2 };
            let output = Rows { start: input.row(rows, 0).start, stride: padded(outputs) };
            let mut before = vec![f32::NAN; output.row(rows, 0).start];
            for (row, k) in (0..rows).flat_map(|row| (0..inputs).map(move |k| (row, k))) {
                let x = number(row * 31 + k);
                before[input.row(row, inputs)][k] = if in_use(k) { x + x.signum() } else { 0.0f32.copysign(x) };
            }
            if rows > 2 && of_three > 0 {
                before[input.row(rows - 1, inputs)][0] = f32::NAN;
                before[input.row(1, inputs)][0] = f32::INFINITY;
            }
            let of = |weights: &dyn Fn(usize, f32) -> f32| {
                let of_input = |(i, &w): (usize, &f32)| weights(i / LANES % inputs, w);
                let weights: Vec<f32> = matrix.iter().enumerate().map(of_input).collect();
                let mut grouped = vec![0.0; weights.len()];
                kernel.group(&weights, inputs, &mut grouped);
                grouped
            };
            let mostly_zeros = (0..inputs).filter(|&k| in_use(k)).count() * 4 <= inputs * 3;
            let grouped = of(&|k, w| if mostly_zeros && in_use(k) { w } else { f32::NAN });
            for then in [Then::None, Then::Relu, Then::Tanh] {
                let [expected, got] = [None, Some(&grouped[..])].map(|grouped| {
                    let mut arena = before.clone();
                    let op = Dense {
                        rows,
                        weight: Matrix::Single(&matrix),
                        grouped,
                        inputs,
                        columns: 0..inputs,
                        outputs,
                        bias: Bias::Params(&bias),
                        input,
                        output,
                        output_step: LANES,
                        then,
                    };
                    kernel.dense(&mut arena, &op);
                    arena.split_off(output.start)
                });
                for (i, (expected, got)) in expected.iter().zip(&got).enumerate() {
                    let same = expected.to_bits() == got.to_bits() || (expected.is_nan() && got.is_nan());
                    assert!(same, "{case}, {then:?}: output {i} is {got}, with zeros {expected}");
                }
                assert!(
                    expected.iter().filter(|x| x.is_nan()).count() <= 2 * padded(outputs),
                    "{case}: NaN of two rows"
                );
            }
        }
    }
}

/// Small integers and their sums are exact in bf16 and in eight bits: every shape, with and without f32 outputs.
#[test]
fn packed_layers_of_every_shape() {
    for kernel in Kernel::available().filter(|kernel| kernel.lacks_fast().is_empty()) {
        for (rows, (inputs, outputs)) in
            (0..=30).flat_map(|rows| [(5, 3), (32, 40), (3, 250), (67, 100), (300, 250)].map(|shape| (rows, shape)))
        {
            let weight = |k: usize, o: usize| ((k * 31 + o * 17) % 13) as f32 - 6.0;
            // Two of every three words of four are 0 in all rows.
            let in_use = |k: usize| (k / 4).is_multiple_of(3);
            let x = |row: usize, k: usize| if in_use(k) { ((row * 7 + k * 5) % 8 + 1) as f32 } else { 0.0 };
            let bias = integers(padded(outputs), 3);
            let input = Rows { start: 3, stride: inputs + 2 };
            let packed_input = Rows { start: 10_000, stride: padded(inputs) };
            let output = Rows { start: 20_000, stride: padded(outputs) };
            let packed = Rows { start: 28_000, stride: padded(outputs) };
            let sums = Rows { start: 36_000, stride: padded(outputs) };
            let mut arena = vec![f32::NAN; 44_000];
            for row in 0..rows {
                (0..inputs).for_each(|k| arena[input.row(row, inputs).start + k] = x(row, k));
            }
            let panels = outputs.div_ceil(LANES);
            let bits = |v: f32| u32::from(half::bf16::from_f32(v).to_bits());
            let real = |k: usize, o: usize| if k < inputs && o < outputs { weight(k, o) } else { 0.0 };
            let each = |per: usize, word: &dyn Fn(usize, usize) -> u32| -> Vec<u32> {
                let words = words(inputs, per);
                let places =
                    (0..panels * words * LANES).map(|i| (i / LANES % words, i / LANES / words * LANES + i % LANES));
                places.map(|(w, o)| word(w * per, o)).collect()
            };
            let pairs = each(2, &|k, o| bits(real(k, o)) | bits(real(k + 1, o)) << 16);
            let quads = each(4, &|k, o| u32::from_le_bytes(std::array::from_fn(|i| real(k + i, o) as i8 as u8)));
            let ones = vec![1.0; panels * LANES];
            // With weights that must not be read.
            let group = |words: &[u32], per: usize| {
                let count = words.len() / panels / LANES;
                let of_word = |i: usize| if in_use(i / LANES % count * per) { words[i] } else { 0x7fc0_7fc0 };
                let mut grouped = vec![0; words.len()];
                kernel.group_words(&(0..words.len()).map(of_word).collect::<Vec<_>>(), count, &mut grouped);
                grouped
            };
            let grouped = [group(&pairs, 2), group(&quads, 4)];
            for quad in [false, true] {
                for (silent, skipping) in [(false, false), (false, true), (true, false), (true, true)] {
                    let mut arena = arena.clone();
                    if quad {
                        for row in 0..rows {
                            for word in 0..words(inputs, 4) {
                                let at = |i: usize| if word * 4 + i < inputs { x(row, word * 4 + i) as u8 } else { 0 };
                                arena[packed_input.row(row, 0).start + word] =
                                    f32::from_bits(u32::from_le_bytes(std::array::from_fn(at)));
                            }
                        }
                    } else {
                        kernel.pack_rows(&mut arena, rows, input, inputs, packed_input);
                    }
                    kernel.packed_dense(
                        &mut arena,
                        &PackedDense {
                            rows,
                            weight: if quad { Words::Quads(&quads, &ones) } else { Words::Pairs(&pairs) },
                            grouped: skipping.then_some((&grouped[usize::from(quad)][..], sums)),
                            words: words(inputs, if quad { 4 } else { 2 }),
                            outputs,
                            bias: Bias::Params(&bias),
                            input: packed_input,
                            then: Then::Relu,
                            output: (!silent).then_some(output),
                            packed: Some((if quad { Pack::Quads } else { Pack::Pairs }, packed)),
                        },
                    );
                    for (row, o) in (0..rows).flat_map(|row| (0..padded(outputs)).map(move |o| (row, o))) {
                        let sum = (0..inputs).map(|k| real(k, o) * x(row, k)).sum::<f32>() + bias[o];
                        let sum = sum.max(0.0);
                        let case = format!(
                            "{kernel:?}, {rows} rows, [{outputs}, {inputs}], {quad}, row {row}, {o}, skipping {skipping}"
                        );
                        if !silent {
                            assert_eq!(arena[output.row(row, 0).start + o], sum, "{case}");
                        }
                        let kept = if o < outputs { sum } else { 0.0 };
                        let per = if quad { 4 } else { 2 };
                        let word = arena[packed.row(row, 0).start + o / per].to_bits();
                        let (got, expected) = match quad {
                            true => (word >> (8 * (o % 4)) & 0xff, kept.round_ties_even().min(255.0) as u32),
                            false => (word >> (16 * (o % 2)) & 0xffff, bits(kept)),
                        };
                        assert_eq!(got, expected, "{case}");
                    }
                }
            }
        }
    }
}

/// A value outside of eight bits becomes the nearer end, and NaN becomes 255, for odd and even numbers of rows.
#[test]
fn quads_end_at_0_and_255() {
    let sums = [1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 254.6, 255.4, -0.4, 3e9, 300.0, 0.5, 1.5];
    for kernel in Kernel::available().filter(|kernel| kernel.lacks_fast().is_empty()) {
        for (rows, outputs) in (1..=15).flat_map(|rows| [12, 32, 60, 80].map(|outputs| (rows, outputs))) {
            let at = |row: usize, o: usize| sums[(row * 5 + o) % sums.len()];
            let (input, bias) = (Rows { start: 0, stride: 1 }, Rows { start: 100, stride: padded(outputs) });
            let packed = Rows { start: 4000, stride: packed_row(outputs, 4) };
            let mut arena = vec![0.0; 5000];
            for row in 0..rows {
                (0..outputs).for_each(|o| arena[bias.row(row, 0).start + o] = at(row, o));
            }
            let weight = vec![0; padded(outputs)];
            let op = PackedDense {
                rows,
                weight: Words::Pairs(&weight),
                grouped: None,
                words: 1,
                outputs,
                bias: Bias::Rows(bias),
                input,
                then: Then::Relu,
                output: None,
                packed: Some((Pack::Quads, packed)),
            };
            kernel.packed_dense(&mut arena, &op);
            for (row, o) in (0..rows).flat_map(|row| (0..outputs).map(move |o| (row, o))) {
                let word = arena[packed.row(row, 0).start + o / 4].to_bits();
                let sum = at(row, o);
                let expected = if sum.is_nan() { 255 } else { sum.round_ties_even().clamp(0.0, 255.0) as u32 };
                assert_eq!(word >> (8 * (o % 4)) & 0xff, expected, "{rows} rows, {outputs} outputs, {sum}");
            }
        }
    }
}

/// Panels made for a request hold the same as those of the plan.
#[test]
fn panels_are_packed_from_rows() {
    for kernel in Kernel::available().filter(|kernel| kernel.lacks_fast().is_empty()) {
        for (inputs, outputs) in [(1, 1), (2, 16), (7, 33), (40, 80)] {
            let from = Rows { start: 0, stride: padded(outputs) + 16 };
            let to = inputs * from.stride;
            let mut arena = integers(to + padded(outputs) * words(inputs, 2), inputs);
            let before = arena.clone();
            let panels = Rows { start: to, stride: words(inputs, 2) * LANES };
            kernel.pack_panels(&mut arena, from, inputs, outputs, panels);
            for (i, word) in arena[to..].iter().enumerate() {
                let (lane, word_at, panel) = (i % LANES, i / LANES % words(inputs, 2), i / LANES / words(inputs, 2));
                for half in 0..2 {
                    let k = word_at * 2 + half;
                    let value = if k < inputs { before[from.row(k, 0).start + panel * LANES + lane] } else { 0.0 };
                    let expected = u32::from(half::bf16::from_f32(value).to_bits());
                    assert_eq!(word.to_bits() >> (16 * half) & 0xffff, expected, "[{outputs}, {inputs}] {i}");
                }
            }
        }
    }
}

#[test]
fn kernels_by_name() {
    for kernel in Kernel::available() {
        assert_eq!(Kernel::by_name(kernel.name()).unwrap().name(), kernel.name());
        assert!(kernel.tile_rows() <= TILE_ROWS);
    }
    assert_eq!(Kernel::by_name("portable").unwrap().name(), "portable");
    let error = Kernel::by_name("sse9").unwrap_err();
    assert!(error.message.contains("\"sse9\"") && error.message.contains("portable"), "{error}");
    assert_eq!(Kernel::available().next().unwrap().name(), Kernel::detect().name());
}
