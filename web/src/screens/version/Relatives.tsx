import { Link } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Answer, Empty } from "../../ui/Answer";
import { Folded } from "../../ui/Folded";
import { percent, score } from "../../ui/format";
import { LayerLink, VersionLink } from "../../ui/links";
import { Mark } from "../../ui/Mark";
import type { NamedVersion } from "./Version";

const RELATIVES = graphql(`
	query Relatives($version: ID!) {
		version(id: $version) {
			id
			similarVersions(first: 20) {
				exact
				totalCount
				edges {
					rank
					score
					node {
						id
						number
						accuracy
						model {
							id
							name
						}
					}
					bestMatches {
						score
						layer {
							id
							name
						}
						otherLayer {
							id
							name
						}
					}
				}
			}
		}
	}
`);

/** The most similar versions, with the layers that match. */
export function Relatives({ model, version }: NamedVersion) {
	const relatives = useDocument(RELATIVES, { version: version.id });
	return (
		<Answer query={relatives} rows={6}>
			{({ version: found }) => {
				const { edges = [], exact = true, totalCount = 0 } = found?.similarVersions ?? {};
				if (edges.length === 0) return <Empty>No other model has a version that can be compared with this one.</Empty>;
				return (
					<>
						<p className="quiet">
							{exact
								? `All ${totalCount} candidate versions were compared layer by layer.`
								: `An index chose which of ${totalCount} candidate versions to compare: the scores are exact, but a version may be missing.`}
						</p>
						<ol className="relatives">
							{edges.map(({ rank, score: value, node, bestMatches }) => (
								<li key={node.id} data-row>
									<div className="relative">
										<span className="quiet number">{rank}</span>
										<VersionLink model={node.model.name} number={node.number} />
										<meter value={Math.max(0, value)} aria-label="Similarity" />
										<span className="number">{score(value)}</span>
										<span className="quiet">{percent(node.accuracy)} accuracy</span>
										<Link
											to="/compare"
											search={{ a: `${model}:${version.number}`, b: `${node.model.name}:${node.number}` }}
										>
											compare
										</Link>
										<Mark model={node.model.name} number={node.number} />
									</div>
									<Folded summary="layers that match">
										{() => (
											<table className="list">
												<tbody>
													{bestMatches.map(({ layer, otherLayer, score: match }) => (
														<tr key={layer.id}>
															<td>
																<LayerLink model={model} number={version.number} layer={layer.name} />
															</td>
															<td>
																<LayerLink model={node.model.name} number={node.number} layer={otherLayer.name} />
															</td>
															<td className="number">{score(match)}</td>
														</tr>
													))}
												</tbody>
											</table>
										)}
									</Folded>
								</li>
							))}
						</ol>
					</>
				);
			}}
		</Answer>
	);
}
