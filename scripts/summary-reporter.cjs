'use strict';

const { relative } = require('node:path');

const mostSlow = 20;

/**
 * A Jest reporter for whoever reads results by machine: one plain line, `N passed, N failed` (and `, N skipped` where some
 * were), as the very last thing a test run prints. A run in which no test ran is a failure. A run of many files tells before which
 * of them took longest.
 */
class SummaryReporter {
  constructor(globalConfig) {
    // With --json, standard output holds one JSON document and nothing else.
    this.output = globalConfig.json ? process.stderr : process.stdout;
    this.rootDir = globalConfig.rootDir;
  }

  onRunComplete(_contexts, results) {
    const passed = results.numPassedTests;
    // A file that could not even be loaded has no tests to count, but has failed.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    this.nothingRan = passed + failed === 0;
    if (results.testResults.length > mostSlow) this.output.write(slowestFiles(results.testResults, this.rootDir));
    const line = `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`;
    // Jest's own summary is printed after the reporters have been told.
    process.once('exit', () => this.output.write(line));
  }

  getLastError() {
    return this.nothingRan ? new Error('no test ran') : undefined;
  }
}

function slowestFiles(testResults, rootDir) {
  const slowest = [...testResults]
    .sort((one, other) => other.perfStats.runtime - one.perfStats.runtime)
    .slice(0, mostSlow)
    .map(({ perfStats, testFilePath }) => `${seconds(perfStats.runtime)} ${relative(rootDir, testFilePath)}\n`);
  const all = testResults.reduce((sum, { perfStats }) => sum + perfStats.runtime, 0);
  return `\nThe ${slowest.length} slowest of ${testResults.length} files, which took ${seconds(all).trim()} together:\n${slowest.join('')}`;
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`.padStart(9);
}

module.exports = SummaryReporter;
