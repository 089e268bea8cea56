import { getRouteApi, Link } from "@tanstack/react-router";
import { useRef } from "react";
import { useChange, useDocument, useMore, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { LibraryQuery } from "../../gql/graphql";
import type { LibrarySearch } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { AccuracyFilter, Filters, SelectFilter, TextFilter } from "../../ui/Filters";
import { moment, NONE, percent } from "../../ui/format";
import { VersionLink } from "../../ui/links";
import { markColumn } from "../../ui/Mark";
import { Problem } from "../../ui/Problem";
import { Rows } from "../../ui/Rows";
import { Tags } from "../../ui/Tags";
import { Title } from "../../ui/Title";
import { WriteButton } from "../../ui/WriteButton";

const MODELS = graphql(`
	query Library($after: String, $filter: ModelFilter, $order: ModelOrder) {
		models(first: 100, after: $after, filter: $filter, orderBy: $order) {
			totalCount
			pageInfo {
				hasNextPage
				endCursor
			}
			nodes {
				id
				name
				tags
				owner
				visibility
				updatedAt
				best: version(alias: "best") {
					id
					number
					accuracy
					dataset {
						id
						name
					}
				}
				latest: version(alias: "latest") {
					id
					number
				}
				versions {
					totalCount
				}
			}
		}
	}
`);

const DATASETS = graphql(`
	query DatasetNames {
		datasets {
			id
			name
		}
	}
`);

const RESTORE = graphql(`
	mutation RestoreModel($input: RestoreModelInput!) {
		restoreModel(input: $input) {
			model {
				id
			}
		}
	}
`);

type Model = LibraryQuery["models"]["nodes"][number];

const COLUMNS: readonly Column<Model>[] = [
	{
		name: "Model",
		cell: ({ name }) => (
			<Link to="/models/$model" params={{ model: name }}>
				<bdi>{name}</bdi>
			</Link>
		),
	},
	{ name: "Tags", rank: 2, cell: ({ tags }) => <Tags tags={tags} /> },
	{ name: "Data set", rank: 2, width: "9rem", cell: ({ best }) => best?.dataset.name ?? NONE },
	{ name: "Best accuracy", isNumber: true, width: "9.5rem", cell: ({ best }) => percent(best?.accuracy) },
	{ name: "Versions", isNumber: true, rank: 2, width: "7rem", cell: ({ versions }) => versions.totalCount },
	{
		name: "Owner",
		rank: 3,
		width: "9rem",
		cell: ({ owner, visibility }) => `${owner ?? "everyone"}${visibility === "PRIVATE" ? ", private" : ""}`,
	},
	{ name: "Changed", rank: 3, width: "11rem", cell: ({ updatedAt }) => moment(updatedAt) },
	// Of a model that is not evaluated, the latest version.
	markColumn(({ name, best, latest }) => {
		const version = best ?? latest;
		return version ? { model: name, number: version.number } : null;
	}),
];

const ORDERS = {
	newest: ["CREATED_AT", "DESC"],
	oldest: ["CREATED_AT", "ASC"],
	name: ["NAME", "ASC"],
	changed: ["UPDATED_AT", "DESC"],
	accuracy: ["ACCURACY", "DESC"],
	size: ["SIZE", "DESC"],
} as const;

const route = getRouteApi("/");

/** All models. */
export default function Library() {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const [field, direction] = ORDERS[search.order ?? "newest"];
	const shown = useRef(0);
	const models = usePages(
		MODELS,
		{
			filter: {
				nameContains: search.name ?? null,
				tags: search.tag ? [search.tag] : [],
				datasets: search.dataset ? [search.dataset] : [],
				owner: search.owner ?? null,
				minAccuracy: search.minAccuracy ?? null,
				statuses: search.status ? [search.status] : [],
				deleted: search.deleted ?? false,
			},
			order: { field, direction },
		},
		(data) => data.models,
		{ shown },
	);
	const datasets = useDocument(DATASETS, {});
	const set = (change: Partial<Record<keyof LibrarySearch, unknown>>) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as LibrarySearch, replace: true });
	const more = useMore(models);
	const restore = useChange(RESTORE);
	// A deleted model has no screen.
	const deletedColumns: readonly Column<Model>[] = [
		{ name: "Model", cell: ({ name }) => <bdi>{name}</bdi> },
		...COLUMNS.slice(1, -1),
		{
			name: "Action",
			width: "7rem",
			cell: ({ id, name }) => (
				<WriteButton
					aria-label={`Restore ${name}`}
					disabled={restore.isPending}
					onClick={() => restore.mutate({ input: { id } })}
				>
					Restore
				</WriteButton>
			),
		},
	];
	const isFiltered = Object.keys(search).some((name) => name !== "order");
	return (
		<>
			<Title>Library</Title>
			<Purpose example={models.data?.pages[0]?.models.nodes.find(({ latest }) => latest)} />
			<Filters>
				<TextFilter label="Name" value={search.name ?? ""} onChange={(name) => set({ name: name || undefined })} />
				<TextFilter label="Tag" value={search.tag ?? ""} onChange={(tag) => set({ tag: tag || undefined })} />
				<SelectFilter
					label="Data set"
					value={search.dataset ?? ""}
					options={[["", "any"], ...(datasets.data?.datasets ?? []).map(({ name }) => [name, name] as const)]}
					onChange={(dataset) => set({ dataset: dataset || undefined })}
				/>
				<TextFilter label="Owner" value={search.owner ?? ""} onChange={(owner) => set({ owner: owner || undefined })} />
				<AccuracyFilter value={search.minAccuracy} onChange={(minAccuracy) => set({ minAccuracy })} />
				<SelectFilter
					label="Has a version that is"
					value={search.status ?? ""}
					options={[
						["", "in any state"],
						["READY", "ready"],
						["QUEUED", "queued"],
						["RUNNING", "running"],
						["FAILED", "failed"],
					]}
					onChange={(status) => set({ status: status || undefined })}
				/>
				<SelectFilter
					label="Order"
					value={search.order ?? "newest"}
					options={[
						["newest", "newest first"],
						["oldest", "oldest first"],
						["changed", "last changed first"],
						["accuracy", "most accurate first"],
						["size", "largest first"],
						["name", "by name"],
					]}
					onChange={(order) => set({ order: order === "newest" ? undefined : order })}
				/>
				<label>
					<input
						type="checkbox"
						checked={search.deleted ?? false}
						onChange={(event) => set({ deleted: event.target.checked || undefined })}
					/>{" "}
					deleted models
				</label>
			</Filters>
			{restore.error && <Problem error={restore.error} />}
			<Answer query={models} rows={12}>
				{({ pages }) => {
					const rows = pages.flatMap((page) => page.models.nodes);
					const total = pages[0]?.models.totalCount ?? rows.length;
					if (rows.length > 0) {
						return (
							<>
								<p className="quiet" role="status">
									{total === 1 ? "1 model" : `${total} models`}
								</p>
								<Rows
									label="Models"
									columns={search.deleted ? deletedColumns : COLUMNS}
									rows={rows}
									rowKey={(model) => model.id}
									total={total}
									shown={shown}
									onEnd={more}
								/>
							</>
						);
					}
					return isFiltered ? (
						<Empty>
							No model matches the filter.{" "}
							<button type="button" onClick={() => void navigate({ search: {} })}>
								Show all models
							</button>
						</Empty>
					) : (
						<Empty command="scv train --model plain --dataset digits --blocks examples/plain.json">
							The library has no models yet. Train one:
						</Empty>
					);
				}}
			</Answer>
		</>
	);
}

/** What all this is for, and the way to it. */
function Purpose({ example }: { example: Model | undefined }) {
	return (
		<p className="quiet">
			Trained vision networks, and which of their layers have learned to compute the same thing. To see that, open a
			version
			{example?.latest && (
				<>
					, such as <VersionLink model={example.name} number={example.latest.number} />,
				</>
			)}{" "}
			and choose one of its layers, or <Link to="/ask">ask with a file of activations</Link> of your own.
		</p>
	);
}
