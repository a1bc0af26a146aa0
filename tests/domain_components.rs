//! Components and centroids against scipy.ndimage; tests/fixtures/domain/components.py made the numbers.

use peaknet_studio::domain::components::components;
use peaknet_studio::domain::frame::Frame;
use peaknet_studio::domain::grid::{Grid, PixelRect};
use peaknet_studio::domain::peaks::measure_peaks;

fn numbers<T: std::str::FromStr>(line: &str) -> Vec<T> {
    line.split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

#[test]
fn components_and_centroids_agree_with_scipy() {
    let text = include_str!("fixtures/domain/components.txt");
    let mut lines = text.lines();
    let (mut maps, mut compared) = (0, 0);
    while let Some(head) = lines.next() {
        let size: Vec<usize> = numbers(head);
        let (width, height) = (size[0], size[1]);
        let classes: Vec<u8> = (0..height)
            .flat_map(|_| lines.next().unwrap().bytes().map(|b| b - b'0'))
            .collect();
        let values: Vec<f32> = (0..height)
            .flat_map(|_| numbers(lines.next().unwrap()))
            .collect();
        let classes = Grid::from_cells(width, height, classes).unwrap();
        let frame = Frame::new(
            0,
            Grid::from_cells(width, height, values).unwrap(),
            Grid::filled(width, height, 0),
        )
        .unwrap();
        let count: usize = numbers(lines.next().unwrap())[0];
        let found = components(&classes, 1);
        let peaks = measure_peaks(&frame, &classes);
        assert_eq!(found.len(), count);
        assert_eq!(peaks.len(), count);
        let mut expected: Vec<Vec<f64>> =
            (0..count).map(|_| numbers(lines.next().unwrap())).collect();
        for (component, peak) in found.iter().zip(&peaks) {
            let rect = component.rect;
            let index = expected
                .iter()
                .position(|e| {
                    e[0] as usize == component.count
                        && rect
                            == PixelRect::new(
                                e[3] as usize,
                                e[4] as usize,
                                e[5] as usize,
                                e[6] as usize,
                            )
                        && (f64::from(peak.x) - 0.5 - e[1]).abs() < 1e-3
                        && (f64::from(peak.y) - 0.5 - e[2]).abs() < 1e-3
                })
                .unwrap_or_else(|| panic!("scipy has no {component:?} {peak:?}"));
            expected.swap_remove(index);
            compared += 1;
        }
        maps += 1;
    }
    assert_eq!(maps, 6);
    assert!(compared > 100, "{compared}");
}
