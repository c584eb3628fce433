package io.adclick.bench;

import java.util.Collection;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/** Runs {@link Calls}, prints nanoseconds and bytes of each call, and fails when one allocates. */
public final class Main {
  /** The smallest object. JMH itself allocates some 7 KB for each iteration: spread over its calls that is less. */
  private static final double BYTES = 16;

  private Main() {}

  /**
   * Runs the benchmarks.
   *
   * @param args a directory of bundles of examples/tables
   * @throws RunnerException when they do not run
   */
  public static void main(String[] args) throws RunnerException {
    Options options =
        new OptionsBuilder()
            .include(Calls.class.getSimpleName() + "\\.")
            .param("bundle", args[0])
            .addProfiler(GCProfiler.class)
            .forks(2)
            .warmupIterations(3)
            .warmupTime(TimeValue.milliseconds(500))
            .measurementIterations(5)
            .measurementTime(TimeValue.seconds(1))
            .shouldFailOnError(true)
            .build();
    Collection<RunResult> results = new Runner(options).run();
    System.out.printf("%n%-14s %10s %12s %12s%n", "call", "candidates", "ns (median)", "bytes");
    boolean allocates = false;
    for (RunResult result : results) {
      Result<?> norm = result.getSecondaryResults().get("gc.alloc.rate.norm");
      double bytes = norm.getStatistics().getMin();
      allocates |= !(bytes < BYTES);
      String name = result.getParams().getBenchmark();
      System.out.printf(
          "%-14s %10s %12.1f %12.4f%n",
          name.substring(name.lastIndexOf('.') + 1), result.getParams().getParam("candidateCount"),
          result.getPrimaryResult().getStatistics().getPercentile(50), bytes);
    }
    if (allocates) {
      System.out.println("a call allocates");
      System.exit(1);
    }
  }
}
