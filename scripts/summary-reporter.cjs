'use strict';

/**
 * A Jest reporter for whoever reads results by machine: one plain line, `N passed, N failed` (and `, N skipped` where some
 * were), as the very last thing a test run prints. A run in which no test ran is a failure.
 */
class SummaryReporter {
  constructor(globalConfig) {
    // With --json, standard output holds one JSON document and nothing else.
    this.output = globalConfig.json ? process.stderr : process.stdout;
  }

  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    // A file that could not even be loaded has no tests to count, but has failed.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    this.nothingRan = passed + failed === 0;
    const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    // Jest's own summary is printed after the reporters have been told.
    process.once('exit', () => this.output.write(line));
  }

  getLastError() {
    return this.nothingRan ? new Error('no test ran') : undefined;
  }
}

module.exports = SummaryReporter;
