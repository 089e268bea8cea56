import { getRouteApi, Link } from "@tanstack/react-router";
import { Fragment, useState } from "react";
import { useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { SimilarityFilter, SimilarQuery } from "../../gql/graphql";
import type { LayerSearch } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import { Filters, SelectFilter, TextFilter } from "../../ui/Filters";
import { percent, score } from "../../ui/format";
import { Scrolls } from "../../ui/Scrolls";
import { Explanation } from "./Explanation";
import type { Layer } from "./Layer";
import { proof } from "./proof";
import "./Similar.css";

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

type Hits = NonNullable<SimilarQuery["layer"]>["similar"];

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
				<SelectFilter
					label="Measure"
					value={measure}
					options={[
						["DEBIASED_CKA", "debiased CKA"],
						["CKA", "CKA"],
					]}
					onChange={(name) => set({ measure: name === "CKA" ? name : undefined })}
				/>
				<TextFilter
					label="Accuracy at least, %"
					type="number"
					value={search.minAccuracy === undefined ? "" : String(Math.round(search.minAccuracy * 1_000) / 10)}
					onChange={(text) => set({ minAccuracy: text === "" ? undefined : share(text) })}
				/>
				<TextFilter
					label="Kind"
					value={search.kind ?? ""}
					placeholder="such as Conv2d"
					onChange={(kind) => set({ kind: kind || undefined })}
				/>
				<TextFilter
					label="Data set"
					value={search.dataset ?? ""}
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
							<Table edges={edges} layer={layer.id} measure={measure} filter={filter} />
							{similar.hasNextPage && (
								<button
									type="button"
									disabled={similar.isFetchingNextPage}
									onClick={() => void similar.fetchNextPage()}
								>
									More
								</button>
							)}
						</>
					);
				}}
			</Answer>
		</section>
	);
}

interface TableProps {
	edges: Hits["edges"];
	layer: string;
	measure: "DEBIASED_CKA" | "CKA";
	filter: SimilarityFilter;
}

function Table({ edges, layer, measure, filter }: TableProps) {
	const chance = useDocument(CHANCE, { layer, measure, filter });
	const [explained, setExplained] = useState<string | null>(null);
	const chances = new Map((chance.data?.layer?.similar.edges ?? []).map((edge) => [edge.node.id, edge]));
	return (
		<Scrolls label="Similar layers">
			<table className="list">
				<thead>
					<tr>
						<th scope="col" className="number">
							Rank
						</th>
						<th scope="col">Layer</th>
						<th scope="col">Model</th>
						<th scope="col">Kind</th>
						<th scope="col" className="number">
							Debiased CKA
						</th>
						<th scope="col" className="number">
							CKA
						</th>
						<th scope="col" className="number">
							Accuracy
						</th>
						<th scope="col" className="number">
							<abbr title="How likely a debiased CKA this high is by chance, corrected for the number of layers searched">
								p
							</abbr>
						</th>
						<th scope="col" className="number">
							<abbr title="Share of each probe image's nearest neighbours that are the same in both layers, and the share expected by chance">
								Common neighbours
							</abbr>
						</th>
						<th scope="col">
							<span className="visually-hidden">Explanation</span>
						</th>
					</tr>
				</thead>
				<tbody>
					{edges.map(({ rank, cka, debiasedCka, node }) => {
						const { model, number, accuracy } = node.version;
						const version = { model: model.name, number: String(number) };
						const { significance, mutualKnn } = chances.get(node.id) ?? {};
						return (
							<Fragment key={node.id}>
								<tr data-row>
									<td className="number">{rank}</td>
									<td>
										<Link to="/models/$model/versions/$number/layers/$layer" params={{ ...version, layer: node.name }}>
											<bdi>{node.name}</bdi>
										</Link>
									</td>
									<td>
										<Link to="/models/$model/versions/$number" params={version}>
											<bdi>{model.name}</bdi>, version {number}
										</Link>
									</td>
									<td>{node.kind}</td>
									<td className="number">
										<strong>{score(debiasedCka)}</strong>
									</td>
									<td className="number">{score(cka)}</td>
									<td className="number">{percent(accuracy)}</td>
									<td className="number">{significance && probability(significance.correctedPValue)}</td>
									<td className="number">
										{mutualKnn && `${percent(mutualKnn.overlap)}, by chance ${percent(mutualKnn.expectedByChance)}`}
									</td>
									<td>
										<button
											type="button"
											aria-expanded={explained === node.id}
											onClick={() => setExplained(explained === node.id ? null : node.id)}
										>
											Why?
										</button>
									</td>
								</tr>
								{explained === node.id && (
									<tr>
										<td colSpan={10} className="explained">
											<Explanation layer={layer} other={node.id} />
										</td>
									</tr>
								)}
							</Fragment>
						);
					})}
				</tbody>
			</table>
		</Scrolls>
	);
}

function share(percentage: string): number | undefined {
	const value = Number(percentage) / 100;
	return value >= 0 && value <= 1 ? value : undefined;
}

function probability(value: number): string {
	return value < 0.001 ? value.toExponential(0) : value.toFixed(3);
}
