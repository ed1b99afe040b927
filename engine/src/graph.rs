//! What leads to what: flags and segments as nodes of a graph that must have no cycles.

/// The nodes in an order in which each comes after those it leads to, without those on a cycle or leading to
/// one; and for each node how deep an evaluation nests that begins there (`None` for those left out).
pub(crate) fn sort(own_depths: &[usize], leads_to: &[Vec<usize>]) -> (Vec<usize>, Vec<Option<usize>>) {
    let mut waiting_for: Vec<usize> = leads_to.iter().map(Vec::len).collect();
    let mut led_from: Vec<Vec<usize>> = vec![Vec::new(); leads_to.len()];
    for (node, targets) in leads_to.iter().enumerate() {
        for target in targets {
            if let Some(sources) = led_from.get_mut(*target) {
                sources.push(node);
            }
        }
    }
    let mut order: Vec<usize> = Vec::with_capacity(own_depths.len());
    order.extend(waiting_for.iter().enumerate().filter(|(_, count)| **count == 0).map(|(node, _)| node));
    let mut depths = own_depths.to_vec();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        let depth = depths.get(node).copied().unwrap_or_default();
        for &source in led_from.get(node).into_iter().flatten() {
            if let (Some(own), Some(total)) = (own_depths.get(source), depths.get_mut(source)) {
                *total = (*total).max(own + depth);
            }
            if let Some(count) = waiting_for.get_mut(source) {
                *count -= 1;
                if *count == 0 {
                    order.push(source);
                }
            }
        }
    }
    let depths =
        depths.into_iter().zip(waiting_for).map(|(depth, count)| (count == 0).then_some(depth)).collect();
    (order, depths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_add_up_along_the_deepest_way() {
        // 0 -> 1 -> 3, 0 -> 2 -> 3
        let (order, depths) = sort(&[1, 10, 2, 5], &[vec![1, 2], vec![3], vec![3], vec![]]);
        assert_eq!(depths, [Some(16), Some(15), Some(7), Some(5)]);
        assert_eq!((order.first(), order.last()), (Some(&3), Some(&0)));
    }

    #[test]
    fn cycles_and_what_leads_to_them_are_left_out() {
        // 0 -> 1 <-> 2, 3 alone, 4 -> 4
        let (order, depths) = sort(&[1; 5], &[vec![1], vec![2], vec![1], vec![], vec![4]]);
        assert_eq!(depths, [None, None, None, Some(1), None]);
        assert_eq!(order, [3]);
    }
}
