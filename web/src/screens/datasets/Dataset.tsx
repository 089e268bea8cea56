import { getRouteApi, Link } from "@tanstack/react-router";
import { useDocument, usePages } from "../../api/queries";
import { graphql } from "../../gql";
import type { DatasetSearch } from "../../search";
import { NotFound } from "../../shell/NoSuchPage";
import { Answer, Empty } from "../../ui/Answer";
import { Filters, SelectFilter } from "../../ui/Filters";
import { images as imagesInWords } from "../../ui/format";
import { More } from "../../ui/More";
import { Picture, Pictures } from "../../ui/Picture";
import { Title } from "../../ui/Title";
import { DatasetFacts } from "./DatasetFacts";

const DATASET = graphql(`
	query Dataset($name: String!) {
		dataset(name: $name) {
			...DatasetFacts
		}
	}
`);

const IMAGES = graphql(`
	query DatasetImages($name: String!, $split: Split!, $class: Int, $after: String) {
		dataset(name: $name) {
			id
			images(split: $split, class: $class, first: 100, after: $after) {
				totalCount
				pageInfo {
					hasNextPage
					endCursor
				}
				nodes {
					index
					class {
						name
					}
					picture {
						url
						width
						height
					}
				}
			}
		}
	}
`);

const route = getRouteApi("/datasets/$name");

/** A data set with its images. */
export default function DatasetScreen() {
	const { name } = route.useParams();
	const found = useDocument(DATASET, { name });
	return (
		<Answer query={found} title={name} rows={4}>
			{({ dataset }) =>
				dataset ? (
					<>
						<Title path={<Link to="/datasets">Data sets</Link>}>{name}</Title>
						<DatasetFacts dataset={dataset} />
						<Images name={name} classNames={dataset.classNames} />
					</>
				) : (
					<NotFound>{`There is no data set ${name}`}</NotFound>
				)
			}
		</Answer>
	);
}

function Images({ name, classNames }: { name: string; classNames: readonly string[] }) {
	const { split = "TEST", class: wanted } = route.useSearch();
	const navigate = route.useNavigate();
	const set = (change: { [Name in keyof DatasetSearch]: DatasetSearch[Name] | undefined }) =>
		void navigate({ search: (before) => ({ ...before, ...change }) as DatasetSearch, replace: true });
	const found = usePages(IMAGES, { name, split, class: wanted ?? null }, (data) => data.dataset?.images);
	return (
		<section aria-labelledby="images">
			<h2 id="images">Images</h2>
			<Filters>
				<SelectFilter
					label="Split"
					value={split}
					onChange={(chosen) => set({ split: chosen === "TRAIN" ? "TRAIN" : undefined })}
					options={[
						["TEST", "Test"],
						["TRAIN", "Training"],
					]}
				/>
				<SelectFilter
					label="Class"
					value={wanted === undefined ? "" : String(wanted)}
					onChange={(chosen) => set({ class: chosen === "" ? undefined : Number(chosen) })}
					options={[["", "All"], ...classNames.map((name, index) => [String(index), name] as const)]}
				/>
			</Filters>
			<Answer query={found} rows={6}>
				{({ pages }) => {
					const images = pages.flatMap((page) => page.dataset?.images.nodes ?? []);
					if (images.length === 0) return <Empty>There is no image of this class in this split.</Empty>;
					return (
						<>
							<p className="quiet">{imagesInWords(pages[0]?.dataset?.images.totalCount ?? 0)}</p>
							<Pictures>
								{images.map((image) => (
									<li key={image.index}>
										<Picture {...image.picture} alt={`Image ${image.index}`} />
										<bdi>{image.class.name}</bdi>
										<span className="quiet">image {image.index}</span>
									</li>
								))}
							</Pictures>
							<More pages={found} />
						</>
					);
				}}
			</Answer>
		</section>
	);
}
