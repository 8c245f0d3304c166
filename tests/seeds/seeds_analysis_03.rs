//! State machines: unannotated tasks that have ended have none, ten living tracked tasks have one
//! each.

use memscope_tests::conserved;

use crate::ALLOCATOR;

#[expect(dead_code, reason = "the example's main is not called, but what it calls")]
#[path = "../../examples/state_machine_sizes.rs"]
mod seed;

#[test]
fn plain_tasks_leave_nothing_to_analyse_and_ten_tracked_ones_are_ten_machines() {
    seed::analyze_tokio_runtime();
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!((snapshot.spawned_task_count(), snapshot.allocations().len()), (0, 0));
    let [plain] = snapshot.variable_sites() else { panic!("one site\n{snapshot:#}") };
    // 1,000 numbers of eight bytes in each; the last one slept for 90 ms.
    assert_eq!((plain.registered, plain.ended, plain.largest_bytes), (10, 10, 8_000));
    assert!(plain.longest_lifetime_ns >= 90_000_000, "{plain:#?}");
    assert!(plain.lifetime_sum_ns >= 450_000_000, "0 + 10 + … + 90 ms: {plain:#?}");

    let report = seed::analyze_living_tasks();
    let snapshot = conserved(&ALLOCATOR);
    let sites: Vec<_> = snapshot.sites().iter().filter(|site| site.is_annotated).collect();
    let [site] = sites[..] else { panic!("one site\n{snapshot}") };
    assert_eq!((site.spawned, site.cancelled, site.live_bytes), (10, 10, 0), "{site:#?}");
    let machine = usize::try_from(site.future_size_bytes).expect("small");
    assert!(machine > size_of::<tokio::time::Sleep>(), "it sleeps: {machine}");
    assert_eq!(
        (report.async_allocation_count, report.future_state_overhead),
        (10, 10 * machine),
        "{report}"
    );
    assert_eq!((report.average_future_size, report.largest_future_size), (machine, machine));
    let [row] = &*report.by_site else { panic!("{report}") };
    assert_eq!((row.count, row.boxed_by_tokio, row.over_tokio_limit), (10, 0, 0));
    assert_eq!((&*row.place.file, row.place.line), (&*site.file, site.line));
}
