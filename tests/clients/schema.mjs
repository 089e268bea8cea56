// Checks a schema with npm `graphql-schema-linter`. Usage: node schema.mjs FILE
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const linter = createRequire(import.meta.url).resolve('graphql-schema-linter/lib/cli.js');
const rules = [
  'arguments-have-descriptions', 'descriptions-are-capitalized', 'defined-types-are-used', 'deprecations-have-a-reason',
  'enum-values-all-caps', 'enum-values-have-descriptions', 'fields-are-camel-cased', 'fields-have-descriptions',
  'input-object-fields-sorted-alphabetically', 'input-object-values-are-camel-cased', 'input-object-values-have-descriptions',
  'interface-fields-sorted-alphabetically', 'relay-connection-types-spec', 'relay-connection-arguments-spec',
  'relay-page-info-spec', 'types-are-capitalized', 'types-have-descriptions',
];
const found = spawnSync(process.execPath, [linter, '--rules', rules.join(','), process.argv[2]], { encoding: 'utf8' });
console.log(found.stdout + found.stderr);
process.exit(found.status);
