import { getRouteApi } from "@tanstack/react-router";
import { useState } from "react";
import { useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { SimilarityFilter, SimilarQuery } from "../../gql/graphql";
import type { LayerSearch, Measure } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { AccuracyFilter, Filters, MeasureFilter, SelectFilter } from "../../ui/Filters";
import { NONE, percent } from "../../ui/format";
import { HIT_COLUMNS, HIT_MARK } from "../../ui/hits";
import { More } from "../../ui/More";
import { proof } from "../../ui/proof";
import { Table } from "../../ui/Table";
import { Explanation } from "./Explanation";
import type { Layer } from "./Layer";

const SIMILAR = graphql(`
	query Similar($layer: ID!, $after: String, $measure: Measure!, $filter: SimilarityFilter!) {
		layer(id: $layer) {
			id
			similar(first: 25, after: $after, measure: $measure, filter: $filter) {
				exact
				completeAbove
				totalCount
				pageInfo {
					hasNextPage
					endCursor
				}
				edges {
					rank
					cka
					debiasedCka
					node {
						id
						name
						kind
						outputShape
						version {
							id
							number
							accuracy
							model {
								id
								name
							}
						}
					}
				}
			}
		}
	}
`);

const CHANCE = graphql(`
	query Chance($layer: ID!, $measure: Measure!, $filter: SimilarityFilter!) {
		layer(id: $layer) {
			id
			similar(first: 25, measure: $measure, filter: $filter) {
				edges {
					node {
						id
					}
					significance {
						correctedPValue
						layersSearched
					}
					mutualKnn {
						overlap
						expectedByChance
					}
				}
			}
		}
	}
`);

const CHOICES = graphql(`
	query SimilarityChoices {
		blockKinds {
			name
		}
		datasets {
			id
			name
		}
	}
`);

type Hit = NonNullable<SimilarQuery["layer"]>["similar"]["edges"][number];

const route = getRouteApi("/models/$model/versions/$number/layers/$layer");

/** The layers of other models that are most similar to a layer. */
export function Similar({ layer }: { layer: Layer }) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const measure = search.measure ?? "DEBIASED_CKA";
	const filter: SimilarityFilter = {
		minAccuracy: search.minAccuracy ?? null,
		layerKinds: search.kind ? [search.kind] : [],
		datasets: search.dataset ? [search.dataset] : [],
		includeOwnModel: search.ownModel ?? false,
		betterThanTarget: false,
		excludeModels: [],
		models: [],
		tags: [],
	};
	const similar = usePages(SIMILAR, { layer: layer.id, measure, filter }, (data) => data.layer?.similar);
	const choices = useDocument(CHOICES, {}).data;
	const set = (change: Partial<Record<keyof LayerSearch, unknown>>) =>
		void navigate({
			search: (before) => ({ ...before, ...change }) as LayerSearch,
			replace: true,
			resetScroll: false,
		});
	return (
		<section aria-labelledby="similar">
			<h2 id="similar">Most similar layers</h2>
			<Filters>
				<MeasureFilter value={measure} onChange={(measure) => set({ measure })} />
				<AccuracyFilter value={search.minAccuracy} onChange={(minAccuracy) => set({ minAccuracy })} />
				<SelectFilter
					label="Kind"
					value={search.kind ?? ""}
					options={options(search.kind, [
						layer.kind,
						...(choices?.blockKinds ?? []).map(({ name }) => name),
						...(similar.data?.pages ?? []).flatMap(kindsOf),
					])}
					onChange={(kind) => set({ kind: kind || undefined })}
				/>
				<SelectFilter
					label="Data set"
					value={search.dataset ?? ""}
					options={options(
						search.dataset,
						(choices?.datasets ?? []).map(({ name }) => name),
					)}
					onChange={(dataset) => set({ dataset: dataset || undefined })}
				/>
				<label>
					<input
						type="checkbox"
						checked={search.ownModel ?? false}
						onChange={(event) => set({ ownModel: event.target.checked || undefined })}
					/>{" "}
					also of its own model
				</label>
			</Filters>
			<Answer query={similar} rows={10}>
				{({ pages }) => {
					const found = pages.flatMap((page) => page.layer?.similar ?? []);
					const last = found.at(-1);
					const edges = found.flatMap((page) => page.edges);
					if (!last || edges.length === 0) return <Empty>No layer matches the filter.</Empty>;
					return (
						<>
							<p className="proof" role="status">
								{proof(last)}
							</p>
							<HitTable edges={edges} layer={layer.id} measure={measure} filter={filter} />
							<More pages={similar} name="More" />
						</>
					);
				}}
			</Answer>
		</section>
	);
}

/** The options of a filter for names, also the chosen one if it is not among them. */
function options(chosen: string | undefined, names: readonly string[]): [string, string][] {
	const all = new Set(chosen === undefined ? names : [...names, chosen]);
	return [["", "any"], ...[...all].sort().map((name): [string, string] => [name, name])];
}

function kindsOf(page: SimilarQuery): string[] {
	return (page.layer?.similar.edges ?? []).map(({ node }) => node.kind);
}

interface TableProps {
	edges: readonly Hit[];
	layer: string;
	measure: Measure;
	filter: SimilarityFilter;
}

function HitTable({ edges, layer, measure, filter }: TableProps) {
	const chance = useDocument(CHANCE, { layer, measure, filter });
	const [explained, setExplained] = useState<string | null>(null);
	const chances = new Map((chance.data?.layer?.similar.edges ?? []).map((edge) => [edge.node.id, edge]));
	const absent = chance.isPending ? "…" : NONE;
	const columns: readonly Column<Hit>[] = [
		...HIT_COLUMNS,
		{
			name: "p, corrected",
			hint: "How likely a debiased CKA this high is by chance, corrected for the number of layers searched",
			isNumber: true,
			cell: ({ node }) => {
				const significance = chances.get(node.id)?.significance;
				return significance ? probability(significance.correctedPValue) : absent;
			},
		},
		{
			name: "Common neighbours",
			hint: "Share of each probe image's nearest neighbours that are the same in both layers, and the share expected by chance",
			isNumber: true,
			cell: ({ node }) => {
				const common = chances.get(node.id)?.mutualKnn;
				return common ? `${percent(common.overlap)}, by chance ${percent(common.expectedByChance)}` : absent;
			},
		},
		{
			name: "Explanation",
			isNameHidden: true,
			cell: ({ node }) => (
				<button
					type="button"
					aria-label={`Why? Layer ${node.name} of ${node.version.model.name}`}
					aria-expanded={explained === node.id}
					onClick={() => setExplained(explained === node.id ? null : node.id)}
				>
					Why?
				</button>
			),
		},
		HIT_MARK,
	];
	return (
		<Table
			label="Similar layers"
			columns={columns}
			rows={edges}
			rowKey={({ node }) => node.id}
			below={({ node }) => explained === node.id && <Explanation layer={layer} other={node.id} />}
		/>
	);
}

function probability(value: number): string {
	return value < 0.001 ? value.toExponential(0) : value.toFixed(3);
}
