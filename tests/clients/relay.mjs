// Runs the Relay compiler on the schema, with pages, refetching and nodes as an application uses them.
// Usage: node relay.mjs SCHEMA
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const compiler = createRequire(import.meta.url).resolve('relay-compiler/cli.js');
const folder = mkdtempSync(join(tmpdir(), 'relay-'));
mkdirSync(join(folder, 'src'));
mkdirSync(join(folder, 'made'));
copyFileSync(process.argv[2], join(folder, 'schema.graphql'));
writeFileSync(join(folder, 'relay.config.json'), JSON.stringify({
  src: './src', schema: './schema.graphql', language: 'javascript', artifactDirectory: './made',
}));
writeFileSync(join(folder, 'src', 'Models.js'), `
import { graphql } from 'relay-runtime';
export const list = graphql\`
  fragment Models_list on Query @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" })
  @refetchable(queryName: "ModelsPageQuery") {
    models(first: $count, after: $cursor) @connection(key: "Models_models") { edges { node { id name ...Models_row } } }
  }\`;
export const row = graphql\`
  fragment Models_row on Model @refetchable(queryName: "ModelsRowQuery") {
    name tags versions(last: 1) { edges { node { number accuracy } } }
  }\`;
export const whole = graphql\`query ModelsQuery { ...Models_list }\`;
export const create = graphql\`
  mutation ModelsCreateMutation($input: CreateModelInput!) { createModel(input: $input) { model { ...Models_row } } }\`;
export const watch = graphql\`subscription ModelsJobSubscription($id: ID!) { job(id: $id) { status progress } }\`;
`);
const ran = spawnSync(process.execPath, [compiler, 'relay.config.json'], { cwd: folder, encoding: 'utf8' });
if (ran.status !== 0) {
  console.error(ran.stdout + ran.stderr);
} else {
  // The document that an application sends for the next page.
  const made = readFileSync(join(folder, 'made', 'ModelsPageQuery.graphql.js'), 'utf8');
  console.log(JSON.parse(made.match(/"text": ("(?:[^"\\]|\\.)*")/)[1]));
}
rmSync(folder, { recursive: true });
process.exit(ran.status);
