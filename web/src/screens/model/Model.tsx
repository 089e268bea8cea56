import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { type Page, useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { ModelQuery, VersionsQuery } from "../../gql/graphql";
import { NotFound } from "../../shell/NoSuchPage";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { compact, moment, NONE, percent, words } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { markColumn } from "../../ui/Mark";
import { More } from "../../ui/More";
import { Table } from "../../ui/Table";
import { Tags } from "../../ui/Tags";
import { Title } from "../../ui/Title";
import { WriteButton } from "../../ui/WriteButton";
import { EditModel } from "./EditModel";
import "./Model.css";

const MODEL = graphql(`
	query Model($name: String!) {
		model(name: $name) {
			id
			name
			description
			tags
			owner
			visibility
			createdAt
			best: version(alias: "best") {
				id
				number
			}
			latest: version(alias: "latest") {
				id
				number
			}
		}
	}
`);

const VERSIONS = graphql(`
	query Versions($model: ID!, $after: String) {
		model(id: $model) {
			id
			versions(last: 100, before: $after) {
				totalCount
				pageInfo {
					hasPreviousPage
					startCursor
				}
				nodes {
					id
					number
					status
					format
					accuracy
					parameterCount
					multiplyAccumulates
					createdAt
					dataset {
						id
						name
					}
					failure {
						message
					}
					duplicateOf {
						id
						number
						model {
							id
							name
						}
					}
				}
			}
		}
	}
`);

export type Model = NonNullable<ModelQuery["model"]>;

type Versions = NonNullable<VersionsQuery["model"]>["versions"];

type Version = Versions["nodes"][number];

const route = getRouteApi("/models/$model");

/** A model and its versions. */
export default function ModelScreen() {
	const { model: name } = route.useParams();
	const model = useDocument(MODEL, { name });
	const [isEditing, setEditing] = useState(false);
	return (
		<Answer query={model} title={name} rows={8}>
			{({ model }) =>
				model ? (
					<>
						<Title
							path={<Link to="/">Library</Link>}
							actions={<WriteButton onClick={() => setEditing(true)}>Edit</WriteButton>}
						>
							{model.name}
						</Title>
						{model.description && (
							<p className="description" dir="auto">
								{model.description}
							</p>
						)}
						<Facts>
							{{
								Tags: model.tags.length > 0 ? <Tags tags={model.tags} /> : NONE,
								Owner: model.owner ?? "everyone",
								"Seen by": model.visibility === "PRIVATE" ? "its owner" : "everyone",
								Registered: moment(model.createdAt),
							}}
						</Facts>
						<Versions model={model} />
						{isEditing && <EditModel model={model} onClose={() => setEditing(false)} />}
					</>
				) : (
					<NotFound>{`There is no model ${name}`}</NotFound>
				)
			}
		</Answer>
	);
}

function Versions({ model }: { model: Model }) {
	const found = usePages(VERSIONS, { model: model.id }, (data) => olderThan(data.model?.versions));
	return (
		<Answer query={found} rows={3}>
			{({ pages }) => {
				const versions = pages.flatMap((page) => [...(page.model?.versions.nodes ?? [])].reverse());
				if (versions.length === 0) {
					return (
						<Empty command={`scv push --model '${model.name.replaceAll("'", "'\\''")}' --dataset digits network.onnx`}>
							This model has no versions yet. Add one:
						</Empty>
					);
				}
				const total = pages[0]?.model?.versions.totalCount;
				return (
					<section aria-labelledby="versions">
						<h2 id="versions">{total === 1 ? "1 version" : `${total} versions`}</h2>
						<Table
							label="Versions"
							columns={columns(model, versions)}
							rows={versions}
							rowKey={(version) => version.id}
						/>
						<More pages={found} name="Show older versions" />
					</section>
				);
			}}
		</Answer>
	);
}

/** The newest version stands first, so the next page of the list is the one before in the order of the API. */
function olderThan(versions: Versions | undefined): Page | undefined {
	const { hasPreviousPage, startCursor } = versions?.pageInfo ?? {};
	return { pageInfo: { hasNextPage: hasPreviousPage ?? false, endCursor: startCursor ?? null } };
}

function columns({ name, latest, best }: Model, versions: readonly Version[]): readonly Column<Version>[] {
	const earlier = new Map(versions.map(({ id }, index) => [id, versions[index + 1]]));
	const comparison: Column<Version> = {
		name: "Compare",
		cell: ({ id, number }) => {
			const before = earlier.get(id);
			return (
				before && (
					<Link to="/compare" search={{ a: `${name}:${before.number}`, b: `${name}:${number}` }}>
						with version {before.number}
					</Link>
				)
			);
		},
	};
	return [
		{
			name: "Version",
			cell: ({ number }) => (
				<>
					<VersionLink model={name} number={number}>
						version {number}
					</VersionLink>{" "}
					{number === latest?.number && <span className="tag">latest</span>}
					{number === best?.number && <span className="tag">best</span>}
				</>
			),
		},
		{ name: "Status", cell: ({ status, failure }) => <span title={failure?.message}>{words(status)}</span> },
		{ name: "Data set", cell: ({ dataset }) => dataset.name },
		{ name: "Accuracy", isNumber: true, cell: ({ accuracy }) => percent(accuracy) },
		{ name: "Parameters", isNumber: true, cell: ({ parameterCount }) => compact(parameterCount) },
		{ name: "Operations", isNumber: true, cell: ({ multiplyAccumulates }) => compact(multiplyAccumulates) },
		{ name: "Format", cell: ({ format }) => words(format) },
		{ name: "Registered", cell: ({ createdAt }) => moment(createdAt) },
		...(versions.length > 1 ? [comparison] : []),
		markColumn(({ number }) => ({ model: name, number })),
	];
}
