import {
	type InfiniteData,
	QueryClient,
	type QueryFilters,
	type UseInfiniteQueryResult,
	type UseQueryResult,
	useInfiniteQuery,
	useMutation,
	useQuery,
} from "@tanstack/react-query";
import { type RefObject, useCallback, useEffect } from "react";
import type { TypedDocumentString } from "../gql/graphql";
import { RequestError, request } from "./request";

/** How long an answer is shown without asking again. The server keeps answers, so asking again is cheap. */
const FRESH_MILLISECONDS = 5_000;

/** Errors that may pass by themselves. */
const PASSING = new Set(["OFFLINE", "OVERLOADED", "TIMEOUT"]);

/** A server on this machine or in its network is reached also where the browser knows no way to the internet. */
const NETWORK_MODE = "always";

export const queries = new QueryClient({
	defaultOptions: {
		queries: {
			staleTime: FRESH_MILLISECONDS,
			placeholderData: (before: unknown) => before,
			retry: (failures, error) => failures < 2 && isPassing(error),
			networkMode: NETWORK_MODE,
		},
		mutations: { networkMode: NETWORK_MODE },
	},
});

/** Whether the same request may succeed later. */
export function isPassing(error: Error): boolean {
	return error instanceof RequestError && PASSING.has(error.code);
}

/** The answer to a document. Old data stays while new data loads. */
export function useDocument<Data, Variables>(
	document: TypedDocumentString<Data, Variables>,
	variables: Variables,
	options: { enabled?: boolean } = {},
): UseQueryResult<Data> {
	return useQuery({
		queryKey: [document.__meta__?.hash, variables],
		queryFn: ({ signal }) => request(document, variables, signal),
		...options,
	});
}

/**
 * Reads again what is shown, or those of it that are meant. Of a long list, the pages behind those in view are left out: they are read when
 * the reader gets there.
 */
export async function readAgain(meant: QueryFilters = {}, options: { cancelRefetch?: boolean } = {}): Promise<void> {
	for (const query of queries.getQueryCache().findAll(meant)) {
		const { shown } = query.meta ?? {};
		if (!shown) continue;
		const count = Math.max(1, Math.ceil(shown.current / ROWS_OF_PAGE));
		queries.setQueryData<InfiniteData<unknown>>(query.queryKey, (found) =>
			found && count < found.pages.length
				? { pages: found.pages.slice(0, count), pageParams: found.pageParams.slice(0, count) }
				: undefined,
		);
	}
	await queries.invalidateQueries(meant, options);
}

declare module "@tanstack/react-query" {
	interface Register {
		queryMeta: { shown?: RefObject<number> | undefined };
	}
}

/** How many rows each page of a long list has. */
const ROWS_OF_PAGE = 100;

/** A page of a list, as the API gives it. */
export interface Page {
	pageInfo: { hasNextPage: boolean; endCursor?: string | null };
}

interface PageOptions<Data> {
	/** For a long list, the number of its rows down to the last one in view. */
	shown?: RefObject<number>;
	/** Whether a page says that the list stays as it is. Then it is not read again. */
	isFinal?: (data: Data) => boolean;
}

/** The pages of a list, which are read one after the other. */
export function usePages<Data, Variables extends { after?: string | null | undefined }>(
	document: TypedDocumentString<Data, Variables>,
	variables: Omit<Variables, "after">,
	page: (data: Data) => Page | null | undefined,
	{ shown, isFinal }: PageOptions<Data> = {},
): UseInfiniteQueryResult<InfiniteData<Data>> {
	return useInfiniteQuery({
		queryKey: [document.__meta__?.hash, variables],
		queryFn: ({ pageParam, signal }) => request(document, { ...variables, after: pageParam } as Variables, signal),
		staleTime: ({ state: { data } }) => (data && isFinal?.(data.pages[0] as Data) ? "static" : FRESH_MILLISECONDS),
		meta: { shown },
		// All pages that are there would be read once more, whenever the reader comes back to the window.
		refetchOnWindowFocus: false,
		initialPageParam: null as string | null,
		getNextPageParam: (last: Data) => {
			const info = page(last)?.pageInfo;
			return info?.hasNextPage ? (info.endCursor ?? null) : null;
		},
	});
}

type Pages = Pick<
	UseInfiniteQueryResult,
	"fetchNextPage" | "hasNextPage" | "isFetchingNextPage" | "isFetchNextPageError"
>;

/** Reads the next page, unless it is the last or is being read. One that could not be read is asked for by the reader. */
export function useMore({ fetchNextPage, hasNextPage, isFetchingNextPage, isFetchNextPageError }: Pages): () => void {
	const isReadable = hasNextPage && !isFetchingNextPage && !isFetchNextPageError;
	return useCallback(() => {
		if (isReadable) void fetchNextPage();
	}, [fetchNextPage, isReadable]);
}

/** Reads all pages, one after the other, or the first of them. */
export function useAll(
	pages: Pages & { data: InfiniteData<unknown> | undefined },
	most: number = Number.POSITIVE_INFINITY,
) {
	const more = useMore(pages);
	const isEnough = (pages.data?.pages.length ?? 0) >= most;
	useEffect(() => {
		if (!isEnough) more();
	}, [more, isEnough]);
}

/** A change, after which everything that is shown is read again: what a change shows in may be anywhere. */
export function useChange<Data, Variables>(document: TypedDocumentString<Data, Variables>) {
	return useMutation({
		mutationFn: (variables: Variables) => request(document, variables),
		onSuccess: () => readAgain(),
	});
}
