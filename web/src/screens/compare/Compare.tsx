import { getRouteApi, Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { CompareSearch } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import { Facts } from "../../ui/Facts";
import { Filters, SelectFilter, TextFilter } from "../../ui/Filters";
import { percent, score } from "../../ui/format";
import { Title } from "../../ui/Title";
import { parseVersionName, type VersionName } from "../../ui/versionName";
import { Matrix, type Place } from "./Matrix";
import "./Compare.css";

const ENDS = graphql(`
	query CompareEnds($a: String!, $aNumber: Int, $aAlias: String, $b: String!, $bNumber: Int, $bAlias: String) {
		a: model(name: $a) {
			id
			name
			version(number: $aNumber, alias: $aAlias) {
				id
				number
				accuracy
				parameterCount
			}
		}
		b: model(name: $b) {
			id
			name
			version(number: $bNumber, alias: $bAlias) {
				id
				number
				accuracy
				parameterCount
			}
		}
	}
`);

const MATRIX = graphql(`
	query CkaMatrix($a: ID!, $b: ID!, $measure: Measure!) {
		ckaMatrix(a: $a, b: $b, measure: $measure) {
			bestMatchAverage
			scores
			rows {
				id
				name
				kind
				outputShape
			}
			columns {
				id
				name
				kind
				outputShape
			}
			alignment {
				score
				pairs {
					layer {
						id
					}
					otherLayer {
						id
					}
					score
				}
			}
		}
	}
`);

const route = getRouteApi("/compare");

/** Two versions, layer by layer. */
export default function Compare() {
	const { a = "", b = "", measure = "DEBIASED_CKA" } = route.useSearch();
	const navigate = route.useNavigate();
	const set = (change: Partial<Record<keyof CompareSearch, unknown>>) =>
		void navigate({
			search: (before) => ({ ...before, row: undefined, column: undefined, ...change }) as CompareSearch,
			replace: true,
		});
	const [first, second] = [parseVersionName(a), parseVersionName(b)];
	return (
		<>
			<Title>Compare two versions</Title>
			<Filters>
				<TextFilter
					label="Rows"
					value={a}
					placeholder="model or model:version"
					onChange={(name) => set({ a: name || undefined })}
				/>
				<TextFilter
					label="Columns"
					value={b}
					placeholder="model or model:version"
					onChange={(name) => set({ b: name || undefined })}
				/>
				<SelectFilter
					label="Measure"
					value={measure}
					options={[
						["DEBIASED_CKA", "debiased CKA"],
						["CKA", "CKA"],
					]}
					onChange={(name) => set({ measure: name === "CKA" ? name : undefined })}
				/>
				<button type="button" onClick={() => set({ a: b || undefined, b: a || undefined })}>
					Swap
				</button>
			</Filters>
			{first && second ? (
				<Comparison a={first} b={second} measure={measure} />
			) : (
				<Empty>
					Enter two versions: the name of a model, or a model and the number of a version, such as{" "}
					<code>plain-1:1</code>.
				</Empty>
			)}
		</>
	);
}

interface ComparisonProps {
	a: VersionName;
	b: VersionName;
	measure: "DEBIASED_CKA" | "CKA";
}

function Comparison({ a, b, measure }: ComparisonProps) {
	const ends = useDocument(ENDS, {
		a: a.model,
		aNumber: a.number,
		aAlias: a.number === null ? "latest" : null,
		b: b.model,
		bNumber: b.number,
		bAlias: b.number === null ? "latest" : null,
	});
	return (
		<Answer query={ends} rows={10}>
			{(found) => {
				const missing = [
					[a, found.a],
					[b, found.b],
				] as const;
				const absent = missing.find(([, model]) => !model?.version)?.[0];
				if (absent || !found.a?.version || !found.b?.version) {
					return (
						<Empty>
							There is no version{" "}
							<code>
								{absent?.model}
								{absent?.number && `:${absent.number}`}
							</code>
							. The <Link to="/">library</Link> lists what there is.
						</Empty>
					);
				}
				return (
					<Maps
						a={{ model: found.a.name, ...found.a.version }}
						b={{ model: found.b.name, ...found.b.version }}
						measure={measure}
					/>
				);
			}}
		</Answer>
	);
}

interface End {
	id: string;
	model: string;
	number: number;
	accuracy?: number | null;
}

function Maps({ a, b, measure }: { a: End; b: End; measure: "DEBIASED_CKA" | "CKA" }) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const matrix = useDocument(MATRIX, { a: a.id, b: b.id, measure });
	const selected =
		search.row !== undefined && search.column !== undefined ? { row: search.row, column: search.column } : null;
	const select = ({ row, column }: Place) =>
		void navigate({ search: (before) => ({ ...before, row, column }), replace: true, resetScroll: false });
	return (
		<Answer query={matrix} rows={12}>
			{({ ckaMatrix: { rows, columns, scores, alignment, bestMatchAverage } }) => {
				const rowOf = new Map(rows.map((layer, index) => [layer.id, index]));
				const columnOf = new Map(columns.map((layer, index) => [layer.id, index]));
				const path = alignment.pairs.map(({ layer, otherLayer }) => ({
					row: rowOf.get(layer.id) ?? 0,
					column: columnOf.get(otherLayer.id) ?? 0,
				}));
				if (rows.length === 0 || columns.length === 0) {
					return <Empty>One of the versions has no layer that can be compared.</Empty>;
				}
				const [row, column] = selected ? [rows[selected.row], columns[selected.column]] : [];
				return (
					<>
						<Facts>
							{{
								Rows: <EndLink end={a} />,
								Columns: <EndLink end={b} />,
								"Best matches, mean score": score(bestMatchAverage),
								"Alignment score": score(alignment.score),
							}}
						</Facts>
						<div className="comparison">
							<Matrix
								rows={rows.map((layer) => layer.name)}
								columns={columns.map((layer) => layer.name)}
								scores={scores}
								path={path}
								selected={selected}
								onSelect={select}
							/>
							{selected && row && column && (
								<aside className="pair" aria-live="polite">
									<h2>Pair</h2>
									<p>
										<LayerLink end={a} layer={row} />
									</p>
									<p>
										<LayerLink end={b} layer={column} />
									</p>
									<p>
										Score <strong>{score(scores[selected.row]?.[selected.column] ?? 0)}</strong>
									</p>
								</aside>
							)}
						</div>
						<details>
							<summary>The best match of each layer, as a table</summary>
							<BestMatches a={a} b={b} rows={rows} columns={columns} scores={scores} />
						</details>
					</>
				);
			}}
		</Answer>
	);
}

interface NamedLayer {
	id: string;
	name: string;
	kind: string;
}

function EndLink({ end }: { end: End }) {
	return (
		<>
			<Link to="/models/$model/versions/$number" params={{ model: end.model, number: String(end.number) }}>
				<bdi>{end.model}</bdi>, version {end.number}
			</Link>{" "}
			<span className="quiet">{percent(end.accuracy)}</span>
		</>
	);
}

function LayerLink({ end, layer }: { end: End; layer: NamedLayer }) {
	return (
		<>
			<bdi>{end.model}</bdi>:{end.number}{" "}
			<Link
				to="/models/$model/versions/$number/layers/$layer"
				params={{ model: end.model, number: String(end.number), layer: layer.name }}
			>
				layer <bdi>{layer.name}</bdi>
			</Link>{" "}
			<span className="quiet">{layer.kind}</span>
		</>
	);
}

interface BestMatchesProps {
	a: End;
	b: End;
	rows: readonly NamedLayer[];
	columns: readonly NamedLayer[];
	scores: readonly (readonly number[])[];
}

function BestMatches({ a, b, rows, columns, scores }: BestMatchesProps) {
	return (
		<table className="list narrow">
			<thead>
				<tr>
					<th scope="col">Row</th>
					<th scope="col">Best column</th>
					<th scope="col" className="number">
						Score
					</th>
				</tr>
			</thead>
			<tbody>
				{rows.map((layer, index) => {
					const of = scores[index] ?? [];
					const best = of.reduce((best, value, column) => (value > (of[best] ?? 0) ? column : best), 0);
					const match = columns[best];
					return (
						<tr key={layer.id} data-row>
							<td>
								<LayerLink end={a} layer={layer} />
							</td>
							<td>{match && <LayerLink end={b} layer={match} />}</td>
							<td className="number">{score(of[best] ?? 0)}</td>
						</tr>
					);
				})}
			</tbody>
		</table>
	);
}
